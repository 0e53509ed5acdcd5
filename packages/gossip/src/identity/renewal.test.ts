import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryBus } from "../memory-transport.ts";
import { Refusals } from "../refusals.ts";
import { seededRandom } from "../seeded-random.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { type Identity, RENEW_AFTER_MS } from "./identity.ts";
import { IdentityFixture } from "./identity-fixture.ts";
import { RENEW_SUBJECT, Renewal } from "./renewal.ts";

const START_MS = Date.UTC(2026, 0, 1);
const MEMBERS = [
  { name: "a", underlay: "10.0.0.1" },
  { name: "b", underlay: "10.0.0.2" },
];

function makeRenewals() {
  const fixture = new IdentityFixture(MEMBERS, START_MS);
  const clock = new VirtualClock();
  const random = seededRandom(1);
  const bus = new MemoryBus({ random, setTimer: clock.setTimer, delayMinMs: 1 });
  const renewed: Identity[] = [];
  const refusals = new Refusals({ now: clock.now });
  const renewals = MEMBERS.map((self, index) => {
    const options = {
      directory: fixture.home(self.name),
      self,
      transport: bus.connect(self.name),
      authority: index === 0 ? fixture.authority : null,
      wallClock: () => START_MS + clock.now(),
      random,
      setTimer: clock.setTimer,
      refusals,
      onRenewed: (identity: Identity) => renewed.push(identity),
    };
    return new Renewal(options, fixture.identity(self.name));
  });
  const end = (): void => {
    for (const renewal of renewals) renewal.stop();
    fixture.remove();
  };
  return { fixture, clock, bus, renewals, renewed, refusals, end };
}

test("certificates are renewed when a third of their life is over", async () => {
  const { clock, renewed, fixture, end } = makeRenewals();
  try {
    const before = fixture.identity("b").notAfterMs;
    await clock.advance(RENEW_AFTER_MS - 600_000);
    assert.equal(renewed.length, 0);
    await clock.advance(700_000);
    assert.deepEqual(renewed.map(({ name }) => name).sort(), ["a", "b"]);
    const after = fixture.identity("b");
    assert.ok(after.notAfterMs > before + RENEW_AFTER_MS - 600_000);
    assert.equal(after.id, renewed.find(({ name }) => name === "b")!.id);
  } finally {
    end();
  }
});

test("an authority that was away is asked again until it answers", async () => {
  const { clock, bus, renewed, renewals, end } = makeRenewals();
  try {
    bus.partition([["a"], ["b"]]);
    await clock.advance(RENEW_AFTER_MS + 600_000);
    assert.deepEqual(
      renewed.map(({ name }) => name),
      ["a"],
    );
    assert.match(renewals[1]!.failure, /does not answer/);
    bus.heal();
    await clock.advance(200_000);
    assert.deepEqual(
      renewed.map(({ name }) => name),
      ["a", "b"],
    );
    assert.equal(renewals[1]!.failure, "");
  } finally {
    end();
  }
});

test("what is no request, no member's or no answer changes nothing", async () => {
  const { clock, bus, renewed, refusals, fixture, end } = makeRenewals();
  try {
    const stranger = bus.connect("c");
    await clock.advance(10);
    const answer = stranger.request(RENEW_SUBJECT, Uint8Array.of(1, 2, 3), 1000);
    await clock.advance(10);
    assert.match(Buffer.from(await answer).toString(), /"ok":false.*"malformed"/);
    assert.equal(refusals.counts["renew-malformed"], 1);
    fixture.authority.forget("b");
    // Answers before the authority does, with certificates of another.
    const { certificate } = fixture.identity("a").chassis;
    const value = { certificate, natsCertificate: certificate };
    const forged = Buffer.from(JSON.stringify({ version: 1, ok: true, value }));
    bus.partition([["b", "c"]]);
    stranger.subscribe(RENEW_SUBJECT, (_, respond) => respond(forged));
    await clock.advance(RENEW_AFTER_MS + 600_000);
    assert.deepEqual(
      renewed.map(({ name }) => name),
      ["a"],
    );
    bus.heal();
    stranger.setConnected(false);
    await clock.advance(200_000);
    assert.equal(refusals.counts["renew-not-a-member"]! > 0, true);
    assert.deepEqual(
      renewed.map(({ name }) => name),
      ["a"],
    );
  } finally {
    end();
  }
});
