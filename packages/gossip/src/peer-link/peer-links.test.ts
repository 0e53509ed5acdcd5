import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { hostOf } from "../identity/certificate.ts";
import type { Credentials } from "../identity/identity.ts";
import { IdentityFixture } from "../identity/identity-fixture.ts";
import { freePorts, waitUntil } from "../nats-cluster-fixture.ts";
import { Refusals } from "../refusals.ts";
import { setRealTimer } from "../transport.ts";
import { DATA_SIZE_MAX, encodeFrame, FrameReader } from "./frame.ts";
import { PING_INTERVAL_MS } from "./link.ts";
import { PeerLinks } from "./peer-links.ts";

const LIMIT = { timeout: 30_000 };
const NAMES = ["a", "b", "c"];
const MEMBERS = NAMES.map((name, index) => ({ name, underlay: `127.0.0.${index + 1}` }));

class Links {
  readonly identities = new IdentityFixture(MEMBERS, Date.now());
  readonly refusals = new Refusals({ now: () => performance.now() });
  readonly all = new Map<string, PeerLinks>();
  port = 0;
  /** Milliseconds by which the wall clock is ahead. */
  aheadMs = 0;

  async start(names: readonly string[] = NAMES): Promise<void> {
    if (this.port === 0) [this.port] = (await freePorts(1)) as [number];
    for (const name of names) {
      const links = new PeerLinks({
        identity: () => this.identities.identity(name),
        address: MEMBERS.find((member) => member.name === name)!.underlay,
        port: this.port,
        wallClock: () => Date.now() + this.aheadMs,
        random: Math.random,
        setTimer: setRealTimer,
        refusals: this.refusals,
      });
      await links.start();
      this.all.set(name, links);
    }
  }

  of(name: string): PeerLinks {
    return this.all.get(name)!;
  }

  async linked(withinMs = 5000): Promise<void> {
    await waitUntil("everybody has a link to everybody", withinMs, () =>
      [...this.all].every(([name, links]) => {
        return links.peers.toSorted().join() === NAMES.filter((other) => other !== name).join();
      }),
    );
    // Subscriptions are on their way.
    await sleep(50);
  }

  /** A connection to a's port by somebody with other credentials. */
  intrude(ca: string, credentials: Credentials | null): ReturnType<typeof connect> {
    const own = credentials === null ? {} : { key: credentials.key, cert: credentials.certificate };
    const socket = connect({
      ...{ host: "127.0.0.1", port: this.port, ca: [ca], servername: hostOf("a", "chassis") },
      ...own,
    });
    socket.on("error", () => {}).resume();
    return socket;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.all.values()].map((links) => links.close()));
    this.identities.remove();
  }
}

describe("three chassis", () => {
  const links = new Links();
  before(async () => {
    await links.start();
    for (const { name } of MEMBERS) links.of(name).setPeers(MEMBERS);
    await links.linked();
  }, LIMIT);
  after(() => links.stop(), LIMIT);

  test(
    "hear what each other publishes, once, and not what they did not ask for",
    LIMIT,
    async () => {
      const heard: string[] = [];
      const ends = NAMES.map((name) =>
        links.of(name).subscribe("rhone.o.*.d", (data, _respond, subject) => {
          heard.push(`${name} ${subject} ${data[0]}`);
        }),
      );
      await sleep(50);
      links.of("a").publish("rhone.o.a.d", Uint8Array.of(7));
      links.of("a").publish("rhone.o.a.x", Uint8Array.of(8));
      await waitUntil("both heard it", 5000, () => heard.length === 2);
      for (const end of ends) end();
      await sleep(50);
      links.of("a").publish("rhone.o.a.d", Uint8Array.of(9));
      await sleep(50);
      assert.deepEqual(heard.sort(), ["b rhone.o.a.d 7", "c rhone.o.a.d 7"]);
    },
  );

  test("answer requests, of any size up to the limit", LIMIT, async () => {
    const end = links.of("b").subscribe("rhone.req.b.sync", (data, respond) => {
      respond(new Uint8Array(data[0] === 1 ? DATA_SIZE_MAX : 1));
    });
    await sleep(50);
    const large = await links.of("a").request("rhone.req.b.sync", Uint8Array.of(1), 5000);
    assert.equal(large.length, DATA_SIZE_MAX);
    const small = await links.of("c").request("rhone.req.b.sync", Uint8Array.of(0), 5000);
    assert.equal(small.length, 1);
    end();
    await sleep(50);
    const nobody = links.of("a").request("rhone.req.b.sync", Uint8Array.of(1), 5000);
    await assert.rejects(nobody, /no link to who answers rhone.req.b.sync/);
  });

  test("give a request up in time", LIMIT, async () => {
    const end = links.of("b").subscribe("rhone.req.b.mute", () => {});
    await sleep(50);
    const request = links.of("a").request("rhone.req.b.mute", Uint8Array.of(1), 50);
    await assert.rejects(request, /no answer to rhone.req.b.mute within 50 ms/);
    end();
  });

  test("refuse who speaks for another, and count it", LIMIT, async () => {
    const heard: string[] = [];
    const end = links.of("b").subscribe("rhone.o.*.d", (_d, _r, subject) => heard.push(subject));
    await sleep(50);
    links.of("a").publish("rhone.o.c.d", Uint8Array.of(1));
    await waitUntil("it is counted", 5000, () => {
      return links.refusals.counts["link-forged-origin"] === 1;
    });
    assert.deepEqual(heard, []);
    end();
  });

  test("refuse strangers, nats-servers and rubbish, and go on", LIMIT, async () => {
    const { identities, refusals } = links;
    const { authority, chassis } = identities.identity("b");
    const others = new IdentityFixture(MEMBERS, Date.now());
    try {
      const strangers = [links.intrude(authority, null)];
      strangers.push(links.intrude(authority, others.identity("b").chassis));
      await waitUntil("strangers are counted", 5000, () => refusals.counts["link-no-member"] === 2);
      strangers.push(links.intrude(authority, identities.identity("c").nats));
      await waitUntil("a nats-server is counted", 5000, () => {
        return refusals.counts["link-no-chassis"] === 1;
      });
      strangers.push(links.intrude(authority, identities.identity("a").chassis));
      await waitUntil("a namesake is counted", 5000, () => refusals.counts["link-namesake"] === 1);
      // Its own connection to a is better, so that this one ends.
      const double = links.intrude(authority, chassis);
      double.on("secureConnect", () => double.write("no frame at all"));
      await waitUntil("the second connection has ended", 5000, () => double.destroyed);
      for (const socket of strangers) socket.destroy();
      await links.linked();
    } finally {
      others.remove();
    }
  });
});

test("a link that sends rubbish or is cut comes back", LIMIT, async () => {
  const links = new Links();
  try {
    await links.start(["a"]);
    const { authority, chassis } = links.identities.identity("b");
    const ends: string[] = [];
    links.of("a").onEvents({
      onLink: (peer, isUp) => ends.push(`${peer} ${isUp}`),
      onHearing: () => {},
    });
    for (const bytes of [Buffer.from("no frame at all"), encodeFrame("ping").subarray(0, 9)]) {
      const socket = links.intrude(authority, chassis);
      socket.on("secureConnect", () => socket.end(bytes));
      const count = ends.length;
      await waitUntil("it came and ended", 5000, () => ends.length === count + 2);
    }
    await links.start(["b", "c"]);
    for (const { name } of MEMBERS) links.of(name).setPeers(MEMBERS);
    await links.linked();
    assert.equal(ends[0], "b true");
    assert.equal(ends[1], "b false");
  } finally {
    await links.stop();
  }
});

test("who speaks is not pinged; who is silent is, and then the link ends", LIMIT, async () => {
  const links = new Links();
  try {
    await links.start(["a"]);
    const { authority, chassis } = links.identities.identity("b");
    const socket = links.intrude(authority, chassis);
    const reader = new FrameReader();
    let pingCount = 0;
    socket.on("data", (chunk: Uint8Array) => {
      for (const { type } of reader.push(chunk) ?? []) if (type === "ping") pingCount++;
    });
    await once(socket, "secureConnect");
    const speak = (): void => void socket.write(encodeFrame("hearing", "", Uint8Array.of(1)));
    const timer = setInterval(speak, PING_INTERVAL_MS / 10);
    await sleep(3.5 * PING_INTERVAL_MS);
    clearInterval(timer);
    assert.equal(pingCount, 0);
    const silentMs = performance.now();
    await once(socket, "close");
    const tookMs = performance.now() - silentMs;
    assert.ok(tookMs > 2 * PING_INTERVAL_MS, `${tookMs.toFixed(0)} ms`);
    assert.ok(pingCount >= 1 && pingCount <= 3, `${pingCount} pings`);
  } finally {
    await links.stop();
  }
});

test("a chassis that nobody knows finds the others, and is found", LIMIT, async () => {
  const links = new Links();
  try {
    await links.start();
    links.of("a").setPeers(MEMBERS.slice(0, 2));
    links.of("b").setPeers(MEMBERS.slice(0, 2));
    links.of("c").setPeers(MEMBERS); // The last name of all, which leaves the dialing to others.
    await links.linked();
  } finally {
    await links.stop();
  }
});

test("a link ends with its certificate, and a renewed one takes its place", LIMIT, async () => {
  const links = new Links();
  try {
    await links.start();
    for (const { name } of MEMBERS) links.of(name).setPeers(MEMBERS);
    await links.linked();
    const before = links.identities.identity("a").notAfterMs;
    links.aheadMs = 80 * 3_600_000;
    await waitUntil("all links end", 5000, () => {
      return [...links.all.values()].some(({ states }) => {
        return states.some(({ reason }) => /certificate is over/.test(reason));
      });
    });
    links.aheadMs = 0;
    for (const member of MEMBERS) links.identities.join(member);
    await Promise.all([...links.all.values()].map((each) => each.replace()));
    await links.linked(10_000);
    assert.ok(links.identities.identity("a").notAfterMs >= before);
  } finally {
    await links.stop();
  }
});
