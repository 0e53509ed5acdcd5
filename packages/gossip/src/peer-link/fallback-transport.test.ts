import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { IdentityFixture } from "../identity/identity-fixture.ts";
import { MemoryBus, type MemoryTransport } from "../memory-transport.ts";
import { freePorts, NatsCluster, waitUntil } from "../nats-cluster-fixture.ts";
import { Refusals } from "../refusals.ts";
import { setRealTimer } from "../transport.ts";
import { FallbackTransport, type Way } from "./fallback-transport.ts";
import { PeerLinks } from "./peer-links.ts";

const LIMIT = { timeout: 60_000 };
const SILENCE_MS = 1000;
const MEMBERS = ["c1", "c2", "c3"].map((name, index) => ({
  name,
  underlay: `127.0.0.${index + 1}`,
}));

function makeLinks(identities: IdentityFixture, name: string, port: number): PeerLinks {
  return new PeerLinks({
    identity: () => identities.identity(name),
    address: MEMBERS.find((member) => member.name === name)!.underlay,
    port,
    wallClock: Date.now,
    random: Math.random,
    setTimer: setRealTimer,
    refusals: new Refusals({ now: () => performance.now() }),
  });
}

function hearsAll({ paths }: FallbackTransport): boolean {
  return paths.length === 2 && paths.every((path) => path.hearsUs && path.isHeard);
}

describe("three chassis with servers and links", () => {
  const identities = new IdentityFixture(MEMBERS, Date.now());
  const links = new Map<string, PeerLinks>();
  const both = new Map<string, FallbackTransport>();
  const cluster = new NatsCluster(
    (name) => identities.identity(name),
    (name, nats) => {
      const now = (): number => performance.now();
      const options = { nats, links: links.get(name)!, now, setTimer: setRealTimer };
      const transport = new FallbackTransport({ ...options, silenceMs: SILENCE_MS });
      both.set(name, transport);
      return transport;
    },
  );
  const linkedCount = (): number => [...both.values()].reduce((sum, b) => sum + b.linkedCount, 0);
  const hearEachOther = (): boolean => [...both.values()].every(hearsAll);

  before(async () => {
    const [port] = (await freePorts(20)).slice(-1) as [number];
    for (const { name } of MEMBERS) links.set(name, makeLinks(identities, name, port));
    await Promise.all([...links.values()].map((each) => each.start()));
    for (const each of links.values()) each.setPeers(MEMBERS);
    await cluster.start(3);
    await cluster.connected(10_000);
    await waitUntil("all hear each other over NATS", 10_000, hearEachOther);
  }, LIMIT);
  after(async () => {
    await cluster.stop();
    identities.remove();
  }, LIMIT);

  test("use NATS alone while it works", LIMIT, async () => {
    await sleep(100);
    const before = linkedCount();
    cluster.put(0, "one");
    await cluster.converged(1, 5000);
    await sleep(SILENCE_MS);
    assert.equal(linkedCount(), before);
  });

  test("agree on a change while every nats-server is dead", LIMIT, async (t) => {
    await Promise.all(cluster.chassis.map(({ server }) => server.stop()));
    cluster.put(1, "two");
    t.diagnostic(`told after ${(await cluster.converged(2, 5000)).toFixed(1)} ms`);
    await sleep(2 * SILENCE_MS);
    cluster.put(2, "three");
    t.diagnostic(`and later after ${(await cluster.converged(3, 5000)).toFixed(1)} ms`);
    assert.ok(cluster.chassis.every(({ transport }) => transport.isConnected));
    assert.ok(cluster.chassis.every(({ nats }) => !nats.isConnected));
    const peers = cluster.chassis.flatMap(({ replicator }) => replicator.peers());
    assert.ok(peers.every(({ isConnected }) => isConnected));
  });
});

describe("a hole in the mesh of servers", () => {
  const identities = new IdentityFixture(MEMBERS, Date.now());
  const bus = new MemoryBus({ random: Math.random, setTimer: setRealTimer });
  const nats = new Map<string, MemoryTransport>();
  const both = new Map<string, FallbackTransport>();
  const heard: string[] = [];
  const timers: NodeJS.Timeout[] = [];
  let isTold = true;

  before(async () => {
    const [port] = (await freePorts(30)).slice(-1) as [number];
    for (const { name } of MEMBERS) {
      const links = makeLinks(identities, name, port);
      await links.start();
      links.setPeers(MEMBERS);
      const tell = links.tellHearing.bind(links);
      links.tellHearing = (peer, isHeard) => {
        if (isTold) tell(peer, isHeard);
      };
      nats.set(name, bus.connect(name));
      const now = (): number => performance.now();
      const transport = new FallbackTransport({
        ...{ nats: nats.get(name)!, links, now, setTimer: setRealTimer },
        silenceMs: 300,
      });
      both.set(name, transport);
      transport.subscribe("rhone.o.*.h", () => {});
      transport.subscribe("rhone.o.*.d", (data, _respond, subject) => {
        heard.push(`${name} ${subject} ${data[0]}`);
      });
      transport.subscribe(`rhone.req.${name}.sync`, (_, respond) => respond(Uint8Array.of(42)));
      const beat = (): void => transport.publish(`rhone.o.${name}.h`, Uint8Array.of(0));
      timers.push(setInterval(beat, 100));
    }
    await waitUntil("all hear each other", 10_000, () => {
      return [...both.values()].every(hearsAll);
    });
  }, LIMIT);
  after(async () => {
    for (const timer of timers) clearInterval(timer);
    await Promise.all([...both.values()].map((transport) => transport.close()));
    identities.remove();
  }, LIMIT);

  const isHole = (from: string, to: string): boolean => {
    return both.get(from)!.paths.some((path) => path.name === to && !path.hearsUs);
  };

  test(
    "hears what is for one peer once, or on each path, and answers on the same",
    LIMIT,
    async () => {
      const [c1, c2] = [both.get("c1")!, both.get("c2")!];
      const [asked, answered]: [number[], number[]] = [[], []];
      const ends = [
        c1.subscribe("rhone.o.*.m.c1", (data) => answered.push(data[0]!)),
        c2.subscribe("rhone.o.*.m.c2", (data) => {
          asked.push(data[0]!);
          c2.sendTo("c1", "rhone.o.c2.m.c1", data.slice(), "back");
        }),
      ];
      await sleep(100); // Until the links know of it.
      const ask = (number: number, way?: Way): void => {
        c1.sendTo("c2", "rhone.o.c1.m.c2", Uint8Array.of(number), way);
      };
      ask(1, "once");
      ask(2);
      await waitUntil("both are answered", 5000, () => answered.length >= 3);
      bus.partition([["c2"]]);
      ask(3, "once");
      ask(4);
      await waitUntil("all is answered", 5000, () => answered.length >= 5);
      await sleep(100);
      assert.deepEqual(asked.sort(), [1, 2, 2, 3, 4]);
      assert.deepEqual(answered.sort(), [1, 2, 2, 3, 4]);
      bus.heal();
      for (const end of ends) end();
      await waitUntil("all hear each other", 5000, () => [...both.values()].every(hearsAll));
    },
  );

  test("is found, gone round, and closed again", LIMIT, async () => {
    const [c1, c3] = [both.get("c1")!, both.get("c3")!];
    let recoveryCount = 0;
    const end = c1.onReconnect(() => recoveryCount++);
    bus.partition([["c3"]]);
    await waitUntil("both sides know of it", 5000, () => isHole("c1", "c3") && isHole("c3", "c1"));
    await waitUntil("c1 asks for what was missed", 5000, () => recoveryCount > 0);
    c1.publish("rhone.o.c1.d", Uint8Array.of(1));
    await waitUntil("both heard it, once each", 5000, () => heard.length >= 2);
    assert.deepEqual(heard.splice(0).sort(), ["c2 rhone.o.c1.d 1", "c3 rhone.o.c1.d 1"]);
    assert.deepEqual(await c1.request("rhone.req.c3.sync", Uint8Array.of(0), 1000), Buffer.of(42));
    bus.heal();
    await waitUntil("NATS is enough again", 5000, () => !isHole("c1", "c3") && !isHole("c3", "c1"));
    c3.publish("rhone.o.c3.d", Uint8Array.of(2));
    await waitUntil("both heard it", 5000, () => heard.length >= 2);
    assert.deepEqual(heard.splice(0).sort(), ["c1 rhone.o.c3.d 2", "c2 rhone.o.c3.d 2"]);
    end();
  });

  test("is closed also when the message that says so is lost", LIMIT, async () => {
    bus.partition([["c3"]]);
    await waitUntil("both sides know of it", 5000, () => isHole("c1", "c3") && isHole("c3", "c1"));
    isTold = false;
    bus.heal();
    await waitUntil("c3 is heard again", 5000, () => {
      return both.get("c1")!.paths.some(({ name, isHeard }) => name === "c3" && isHeard);
    });
    assert.ok(isHole("c3", "c1"));
    isTold = true;
    await waitUntil("c3 knows that it is heard", 15_000, () => !isHole("c3", "c1"));
  });

  test("that nobody knows of yet costs a request half of its time", LIMIT, async () => {
    bus.partition([["c2"]]);
    const answer = await both.get("c1")!.request("rhone.req.c2.sync", Uint8Array.of(0), 400);
    assert.equal(answer[0], 42);
    bus.heal();
  });
});
