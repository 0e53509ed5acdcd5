import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryStore } from "@rhone/state/memory-store";
import { everythingOf, put as peerPut } from "@rhone/state/peer-fixture";
import fc from "fast-check";
import { decode, encode, type SyncReplyMessage } from "./codec.ts";
import { Cluster, put } from "./replicator-fixture.ts";

test("a change reaches everybody at once", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  await cluster.clock.advance(2000);
  put(cluster.members[0], "web");
  const elapsedMs = await cluster.converge(100);
  assert.ok(elapsedMs <= 5, `${elapsedMs} ms`);
  assert.deepEqual(
    cluster.members[1]!.store.snapshot().switches.map((entry) => entry.name),
    ["web"],
  );
});

test("does not tell what it was told", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  await cluster.clock.advance(2000);
  put(cluster.members[0], "web");
  await cluster.clock.advance(5000);
  const counters = cluster.members.map((member) => member.replicator.counters);
  assert.deepEqual(
    counters.map(({ pushed, merged, pulls }) => ({ pushed, merged, pulls })),
    [
      { pushed: 1, merged: 0, pulls: 0 },
      { pushed: 0, merged: 1, pulls: 0 },
      { pushed: 0, merged: 1, pulls: 0 },
    ],
  );
});

test("a lost change is repaired by its echo, or else by the next heartbeat", async () => {
  const cluster = new Cluster(["a", "b"]);
  await cluster.clock.advance(1500);
  for (const [lostMs, mostMs] of [
    [20, 100],
    [80, 2500],
  ]) {
    cluster.bus.lossRate = 1;
    put(cluster.members[0], `lost-for-${lostMs}`);
    await cluster.clock.advance(lostMs!);
    cluster.bus.lossRate = 0;
    assert.equal(cluster.isConverged, false);
    await cluster.converge(mostMs!);
  }
});

test("what packets wait for is fetched, also when something was fetched just before", async () => {
  const cluster = new Cluster(["a", "b"]);
  const [a, b] = cluster.members;
  await cluster.clock.advance(1500);
  for (const [name, isUrgent] of [
    ["first", true],
    ["second", true],
    ["third", false],
  ] as const) {
    cluster.bus.lossRate = 1;
    put(a, name);
    await cluster.clock.advance(80); // The echo is lost as well.
    cluster.bus.lossRate = 0;
    if (isUrgent) b!.replicator.wantNow("a");
    else b!.replicator.want("a");
    await cluster.clock.advance(10);
    assert.equal(cluster.isConverged, isUrgent, name);
  }
});

test("what a chassis hears in a second does not grow with the number of chassis", async () => {
  const names = Array.from({ length: 24 }, (_, i) => `c${i}`);
  const cluster = new Cluster(names);
  await cluster.clock.advance(5000);
  const before = cluster.members[0]!.replicator.counters.received;
  await cluster.clock.advance(10_000);
  const heard = cluster.members[0]!.replicator.counters.received - before;
  assert.ok(heard > 120 && heard < 200, `${heard} messages in ten seconds`);
  const peers = cluster.members[0]!.replicator.peers();
  assert.equal(peers.filter(({ isConnected, isInSync }) => isConnected && isInSync).length, 23);
  for (const { replicator } of cluster.members) replicator.stop();
});

test("a gap between changes is repaired without waiting for a heartbeat", async () => {
  const cluster = new Cluster(["a", "b"]);
  await cluster.clock.advance(5);
  put(cluster.members[0], "zero");
  await cluster.clock.advance(5);
  cluster.bus.lossRate = 1;
  put(cluster.members[0], "one");
  cluster.bus.lossRate = 0;
  put(cluster.members[0], "two");
  const elapsedMs = await cluster.converge(100);
  assert.ok(elapsedMs <= 25, `${elapsedMs} ms`);
});

test("a late joiner gets everything, in several pages", async () => {
  const cluster = new Cluster(["a", "b"]);
  await cluster.clock.advance(100);
  for (let i = 0; i < 600; i++) put(cluster.members[i & 1], `s${i}`, "x".repeat(1000));
  await cluster.converge(2000);
  const late = cluster.join("late");
  const elapsedMs = await cluster.converge(200);
  assert.ok(elapsedMs < 100, `${elapsedMs} ms`);
  assert.equal(late.store.snapshot().switches.length, 600);
});

test("a chassis that was cut off catches up when it is connected again", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  await cluster.clock.advance(1500);
  const [a, b] = cluster.members;
  a!.transport.setConnected(false);
  put(a, "alone");
  put(b, "together");
  await cluster.clock.advance(10_000);
  assert.equal(cluster.isConverged, false);
  assert.equal(b!.replicator.peers().find((peer) => peer.name === "a")!.isConnected, false);
  a!.transport.setConnected(true);
  await cluster.converge(1500);
});

test("both sides of a partition go on, and agree after it", async () => {
  const cluster = new Cluster(["a", "b", "c", "d"]);
  await cluster.clock.advance(1500);
  cluster.bus.partition([
    ["a", "b"],
    ["c", "d"],
  ]);
  put(cluster.members[0], "web", "left");
  put(cluster.members[2], "web", "right");
  put(cluster.members[3], "db");
  await cluster.clock.advance(60_000);
  cluster.bus.heal();
  const elapsedMs = await cluster.converge(3000);
  assert.ok(elapsedMs < 2500, `${elapsedMs} ms`);
});

test("knows its peers by their heartbeats", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  await cluster.clock.advance(1500);
  put(cluster.members[1], "web");
  await cluster.clock.advance(1500);
  const peers = cluster.members[0]!.replicator.peers();
  assert.deepEqual(
    peers.map(({ lastSeenMs: _, caughtUpMs: __, sameMs: ___, heldMs: ____, ...peer }) => peer),
    ["b", "c"].map((name) => ({
      name,
      underlay: "10.0.0.1",
      revision: 1,
      isConnected: true,
      isInSync: true,
    })),
  );
  for (const peer of peers) assert.ok(cluster.clock.now() - peer.lastSeenMs < 1200);
});

test("knows when it held all that a peer held, also when that was not the same", async () => {
  const cluster = new Cluster(["a", "b"]);
  const [a, b] = cluster.members;
  const known = () => a!.replicator.peers()[0]!;
  await cluster.clock.advance(1500);
  assert.equal(known().heldMs, known().sameMs);
  const before = known();
  cluster.bus.lossRate = 1;
  put(a, "of-a");
  put(b, "of-b");
  await cluster.clock.advance(80);
  assert.equal(known().heldMs, before.heldMs);
  cluster.bus.lossRate = 0;
  const askedMs = cluster.clock.now();
  a!.replicator.wantNow("b");
  await cluster.clock.advance(10);
  assert.equal(known().heldMs, askedMs);
  assert.equal(known().sameMs, before.sameMs);
});

test("what an earlier life said does not count, but one without memory is heard", async () => {
  const cluster = new Cluster(["a"]);
  const stranger = cluster.bus.connect("stranger");
  await cluster.clock.advance(100);
  const rest = { type: "heartbeat", from: "b", clock: 0, hash: "0".repeat(16), format: 0 } as const;
  const say = async (incarnation: number, revision: number): Promise<number> => {
    const message = { ...rest, incarnation, revision, underlay: "10.0.0.2" };
    stranger.publish("rhone.o.b.h", encode(message));
    await cluster.clock.advance(10);
    return cluster.members[0]!.replicator.peers()[0]!.revision;
  };
  assert.equal(await say(7, 3), 3);
  assert.equal(await say(6, 2), 3, "late");
  assert.equal(await say(8, 4), 4);
  for (let seconds = 0; seconds < 12; seconds++) {
    await say(1, 5);
    await cluster.clock.advance(1000);
  }
  assert.equal(await say(1, 6), 6);
});

/** Answers every question of `stranger` with `fields`; says that it holds something else. */
function misbehave(cluster: Cluster, fields: Pick<SyncReplyMessage, "portions" | "next">) {
  const stranger = cluster.bus.connect("stranger");
  const hash = "0".repeat(16);
  const rest = {
    from: "stranger",
    certificates: [],
    vector: { stranger: 1 },
    isBehind: true,
    hash,
  } as const;
  stranger.subscribe("rhone.req.stranger.sync", (data, respond) => {
    const isSums = decode(data)?.type === "sums-request";
    const sums = new Uint8Array(16384).fill(1);
    const reply = isSums
      ? ({ type: "sums-reply", from: "stranger", sums } as const)
      : ({ type: "sync-reply", ...rest, ...fields } as const);
    respond(encode(reply));
  });
  const heartbeat = {
    type: "heartbeat",
    incarnation: 1,
    revision: 1,
    clock: 0,
    format: 0,
  } as const;
  return () =>
    stranger.publish(
      "rhone.o.stranger.h",
      encode({ ...heartbeat, from: "stranger", hash, underlay: "" }),
    );
}

test("what we refuse does not make us fetch for ever", async () => {
  const cluster = new Cluster(["a", "b"]);
  await cluster.clock.advance(1500);
  const [portion] = peerPut({ clock: 1, origin: "stranger" }, { kind: "chassis", name: "x" });
  const speak = misbehave(cluster, { portions: [portion!], next: null });
  for (let i = 0; i < 20; i++) {
    await cluster.clock.advance(1000);
    speak();
  }
  await cluster.clock.advance(1000);
  const { pulls, merged, comparisons, refused } = cluster.members[0]!.replicator.counters;
  const seen = { pulls, merged, comparisons, refused };
  assert.deepEqual(seen, { pulls: 2, merged: 0, comparisons: 1, refused: 3 });
});

test("pages that do not go forward end the fetch", async () => {
  const cluster = new Cluster(["a"]);
  await cluster.clock.advance(1500);
  const next = { origin: "x", clock: 1, part: 0 };
  const speak = misbehave(cluster, { portions: [], next });
  await cluster.clock.advance(1);
  speak();
  await cluster.clock.advance(500);
  const { pulls, pullFailures } = cluster.members[0]!.replicator.counters;
  assert.deepEqual({ pulls, pullFailures }, { pulls: 1, pullFailures: 1 });
});

test("what vectors hide is found by its sums", async () => {
  const cluster = new Cluster(["a", "b"]);
  await cluster.clock.advance(1500);
  for (let i = 0; i < 100; i++) put(cluster.members[0], `s${i}`);
  await cluster.converge(2000);
  const fresh = createMemoryStore("b");
  const portions = everythingOf(cluster.members[0]!.store);
  fresh.merge(portions.toSpliced(50, 1), cluster.members[0]!.store.vector);
  const b = cluster.members[1]!;
  b.replicator.stop();
  const broken = cluster.join("c", fresh);
  const elapsedMs = await cluster.converge(5000);
  assert.ok(elapsedMs > 500, "not at the first question");
  assert.equal(broken.replicator.counters.comparisons, 1);
  assert.equal(broken.store.snapshot().switches.length, 100);
});

test("a large transaction arrives whole", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  await cluster.clock.advance(1500);
  const [a, b] = cluster.members;
  const sizes = new Set<number>();
  b!.store.onChange(() => sizes.add(b!.store.snapshot().switches.length));
  const changes = Array.from({ length: 1000 }, (_, i) => {
    const description = "x".repeat(500);
    return { op: "put" as const, document: { kind: "switch", name: `s${i}`, description } };
  });
  assert.ok(a!.store.transact(changes, "user").ok);
  await cluster.converge(500);
  assert.deepEqual([...sizes], [1000]);
});

test("malformed messages, or in another's name, are counted and change nothing", async () => {
  const cluster = new Cluster(["a"]);
  const stranger = cluster.bus.connect("stranger");
  await cluster.clock.advance(100);
  const { replicator, store } = cluster.members[0]!;
  const portions = peerPut({ clock: 5, origin: "b" }, { kind: "switch", name: "x" });
  const change = encode({ type: "change", from: "b", portions });
  const subjects = [
    "rhone.o.b.d",
    "rhone.o.b.h",
    "rhone.sync",
    "rhone.req.a.sync",
    "rhone.req.a.h",
  ];
  for (const subject of subjects) {
    stranger.publish(subject, new Uint8Array());
    stranger.publish(subject, new Uint8Array([0xc1, 1, 2, 3]));
  }
  stranger.publish("rhone.o.c.d", change); // b's message on c's subject
  stranger.publish("rhone.o.b.h", change); // not a heartbeat
  await cluster.clock.advance(10);
  assert.equal(replicator.counters.malformed, 12);
  assert.deepEqual(Object.fromEntries(cluster.refused), {
    "gossip-malformed b": 5,
    "gossip-malformed c": 1,
    "gossip-malformed unknown": 6,
  });
  assert.equal(store.entries().length, 0);
  assert.deepEqual(replicator.peers(), []);
  stranger.publish("rhone.o.b.d", change);
  await cluster.clock.advance(10);
  assert.equal(store.entries().length, 1);
});

test("another chassis of our name is noticed", async () => {
  const cluster = new Cluster(["a"]);
  const twin = cluster.join("a");
  await cluster.clock.advance(2500);
  assert.ok(twin.replicator.counters.fromNamesake > 0);
  assert.ok(cluster.refused.get("gossip-namesake a")! > 0);
});

test("says which chassis name it cannot take", () => {
  assert.throws(() => new Cluster(["a.b"]), /chassis name: expected .* got "a\.b"/);
});

type Step =
  | { readonly do: "put" | "delete"; readonly at: number; readonly name: string }
  | { readonly do: "restart" | "cut" | "connect"; readonly at: number }
  | { readonly do: "split"; readonly sides: readonly number[] }
  | { readonly do: "heal" }
  | { readonly do: "fault"; readonly lossRate: number; readonly repeatRate: number }
  | { readonly do: "wait"; readonly ms: number };

const NAMES = ["c1", "c2", "c3", "c4"];
const at = fc.nat({ max: NAMES.length - 1 });
const switchName = fc.constantFrom("s1", "s2", "s3", "s4", "s5");
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("put"), at, name: switchName }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("delete"), at, name: switchName }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("wait"), ms: fc.nat({ max: 3000 }) }) },
  fc.record({ do: fc.constantFrom("restart", "cut", "connect"), at }),
  fc.record({
    do: fc.constant("split"),
    sides: fc.array(fc.nat({ max: 2 }), { minLength: 4, maxLength: 4 }),
  }),
  fc.record({ do: fc.constant("heal") }),
  fc.record({
    do: fc.constant("fault"),
    lossRate: fc.constantFrom(0, 0.1, 0.5, 0.9),
    repeatRate: fc.constantFrom(0, 0.3),
  }),
) as fc.Arbitrary<Step>;

async function perform(cluster: Cluster, step: Step, index: number): Promise<void> {
  switch (step.do) {
    case "put":
      return put(cluster.members[step.at], step.name, `step ${index}`);
    case "delete":
      // What is not known here cannot be deleted here: the store says so.
      cluster.members[step.at]!.store.transact(
        [{ op: "delete", kind: "switch", name: step.name }],
        "user",
      );
      return;
    case "restart":
      return cluster.restart(cluster.members[step.at]!);
    case "cut":
    case "connect":
      return cluster.members[step.at]!.transport.setConnected(step.do === "connect");
    case "split":
      return cluster.bus.partition(
        [0, 1, 2].map((side) => NAMES.filter((_, index) => step.sides[index] === side)),
      );
    case "heal":
      return cluster.bus.heal();
    case "fault":
      cluster.bus.lossRate = step.lossRate;
      cluster.bus.repeatRate = step.repeatRate;
      return;
    case "wait":
      return cluster.clock.advance(step.ms);
  }
}

test("whatever happened, all agree when it is over", { timeout: 60_000 }, async () => {
  const steps = fc.array(step, { minLength: 5, maxLength: 40 });
  const property = fc.asyncProperty(fc.integer(), steps, async (seed, list) => {
    const cluster = new Cluster(NAMES, seed);
    for (const [index, next] of list.entries()) await perform(cluster, next, index);
    cluster.bus.heal();
    cluster.bus.lossRate = 0;
    for (const member of cluster.members) member.transport.setConnected(true);
    await cluster.converge(10_000);
    for (const member of cluster.members) member.replicator.stop();
  });
  await fc.assert(property, { numRuns: 300 });
});

test("the same seed gives the same run", async () => {
  const runs = [1, 2].map(async () => {
    const cluster = new Cluster(NAMES, 42);
    cluster.bus.lossRate = 0.3;
    for (let i = 0; i < 20; i++) {
      put(cluster.members[i % 4], `s${i}`);
      await cluster.clock.advance(200);
    }
    return cluster.members.map((member) => member.replicator.counters);
  });
  const [first, second] = await Promise.all(runs);
  assert.deepEqual(first, second);
});
