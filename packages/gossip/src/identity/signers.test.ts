import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { createMemoryStore } from "@rhone/state/memory-store";
import { everythingOf, put } from "@rhone/state/peer-fixture";
import type { Store } from "@rhone/state/store";
import type { Seal } from "@rhone/state/write";
import { MemoryBus } from "../memory-transport.ts";
import { Replicator } from "../replicator.ts";
import { seededRandom } from "../seeded-random.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { IdentityFixture } from "./identity-fixture.ts";
import { Signers } from "./signers.ts";

const NOW_MS = Date.UTC(2030, 0, 1);
const members = ["a", "b", "c"].map((name, i) => ({ name, underlay: `10.0.0.${i + 1}` }));
const fixture = new IdentityFixture(members, NOW_MS);
const strangers = new IdentityFixture(members, NOW_MS);
after(() => {
  fixture.remove();
  strangers.remove();
});

function signersOf(name: string, from = fixture): Signers {
  return new Signers(from.identity(name), from.home(name));
}

function certificateOf(signers: Signers): string[] {
  return signers.certificatesOf(new Set([signers.id]));
}

function commit(store: Store, name: string): void {
  const document = { kind: "switch", name };
  assert.ok(store.transact([{ op: "put", document }], "user").ok);
}

test("a signature is genuine only of the key, the chassis and the bytes that it is of", () => {
  const [a, b] = [signersOf("a"), signersOf("b")];
  const bytes = new TextEncoder().encode("bytes");
  const signature = a!.sign(bytes);
  assert.equal(b!.verify("a", a!.id, bytes, signature), "unknown-signer");
  b!.learn(certificateOf(a!));
  assert.equal(b!.verify("a", a!.id, bytes, signature), "genuine");
  assert.equal(b!.verify("c", a!.id, bytes, signature), "forged");
  assert.equal(b!.verify("a", a!.id, bytes.subarray(1), signature), "forged");
  assert.equal(b!.verify("a", a!.id, bytes, signature.subarray(1)), "forged");
  assert.equal(signersOf("b").verify("a", a!.id, bytes, signature), "genuine", "after a restart");
});

test("only certificates of the cluster's authority for chassis are believed", () => {
  const c = signersOf("c");
  const stranger = signersOf("a", strangers);
  const nats = fixture.identity("a").nats.certificate.replace(/-----[A-Z ]+-----|\s/g, "");
  c.learn([...certificateOf(stranger), nats, "", "AAAA"]);
  const bytes = new Uint8Array(3);
  assert.equal(c.verify("a", stranger.id, bytes, stranger.sign(bytes)), "unknown-signer");
});

test("a file of signers that is none is named", () => {
  const path = join(fixture.home("c"), "signers.json");
  const before = readFileSync(path, "utf8");
  writeFileSync(path, "{}");
  assert.throws(() => signersOf("c"), /signers\.json: expected a list of certificates/);
  writeFileSync(path, before);
});

test("what is forged, unsigned or in another's name is refused by its name", () => {
  const [a, b] = [signersOf("a"), signersOf("b")];
  a!.learn(certificateOf(b!));
  const store = createMemoryStore("a", { signer: a! });
  const theirs = createMemoryStore("b", { signer: b! });
  commit(theirs, "web");
  const [portion] = everythingOf(theirs);
  const { seal, texts } = portion!;
  const reasonOf = (changed: Partial<Seal>, newTexts = texts) => {
    const { news, refused } = store.merge([{ seal: { ...seal, ...changed }, texts: newTexts }]);
    assert.equal(news, 0);
    return refused.map(({ reason }) => reason).join();
  };
  const [flipped] = [Uint8Array.from(seal.signature)];
  flipped![10]! ^= 1;
  assert.equal(reasonOf({ signature: flipped! }), "seal-forged");
  assert.equal(reasonOf({ clock: 2 }), "seal-forged");
  assert.equal(reasonOf({ origin: "c" }), "seal-forged");
  assert.equal(reasonOf({ signer: a!.id }), "seal-forged");
  assert.equal(reasonOf({ signer: "0".repeat(32) }), "seal-of-unknown-signer");
  assert.equal(reasonOf({ signer: "" }), "seal-unsigned");
  assert.equal(reasonOf({}, [texts[0]!.replace("web", "wob")]), "write-not-sealed");
  const document = { kind: "chassis", name: "c", underlay: "10.0.0.9", workers: 1, version: "" };
  const [foreign] = put({ clock: 5, origin: "b" }, document, b!);
  assert.deepEqual(store.merge([foreign!]).refused, [{ reason: "write-not-owned", origin: "b" }]);
  assert.equal(store.merge([portion!]).news, 1);
  assert.equal(store.merge([portion!]).news, 0, "once");
  assert.equal(reasonOf({ signature: flipped! }), "seal-forged", "also of what is known");
});

test("what a chassis wrote before it joined becomes its own, signed", () => {
  const [a, b] = [signersOf("a"), signersOf("b")];
  b!.learn(certificateOf(a!));
  const before = createMemoryStore("a");
  commit(before, "web");
  commit(before, "db");
  const stored = { portions: everythingOf(before), vector: before.vector, repair: null };
  const joined = createMemoryStore("a", { signer: a!, stored });
  assert.deepEqual(
    joined.snapshot().switches.map(({ value }) => value),
    before.snapshot().switches.map(({ value }) => value),
  );
  const peer = createMemoryStore("b", { signer: b! });
  assert.deepEqual(peer.merge(everythingOf(joined)), { news: 2, refused: [] });
  assert.deepEqual(peer.snapshot(), joined.snapshot());
});

test("chassis learn each other's keys from each other, also of one that is gone", async () => {
  const clock = new VirtualClock();
  const random = seededRandom(5);
  const bus = new MemoryBus({ random, setTimer: clock.setTimer, delayMinMs: 1 });
  const refused: string[] = [];
  const start = (name: string) => {
    const signers = signersOf(name);
    const store = createMemoryStore(name, { signer: signers });
    const replicator = new Replicator({
      ...{ store, trust: signers, transport: bus.connect(name), random },
      self: { name, incarnation: 1, underlay: "10.0.0.1" },
      ...{ now: clock.now, setTimer: clock.setTimer },
      onRefusal: (reason) => refused.push(reason),
    });
    return { store, replicator };
  };
  const [a, b] = [start("a"), start("b")];
  await clock.advance(1000);
  commit(a.store, "web");
  commit(b.store, "db");
  await clock.advance(1500);
  a.replicator.stop();
  bus.partition([["a"], ["b", "c"]]);
  const c = start("c");
  await clock.advance(1500);
  assert.equal(c.store.root, a.store.root);
  assert.deepEqual(c.store.vector, { a: 1, b: 1 });
  assert.deepEqual(refused, []);
  for (const { replicator } of [b, c]) replicator.stop();
});
