/** What chassis say to each other, and in what form. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryStore } from "@rhone/state/memory-store";
import { everythingOf } from "@rhone/state/peer-fixture";
import { Packr } from "msgpackr/pack";
import { decode, encode, type Message } from "./codec.ts";
import { TOKENS_MAX } from "./inflow.ts";
import { isPacked, packHeartbeat } from "./packed.ts";
import { Cluster, put } from "./replicator-fixture.ts";

const packr = new Packr({ useRecords: false });

/** Counts messages on the subjects of `origin` that are packed, and those that are not. */
function listen(cluster: Cluster, origin: string): { packed: number; plain: number } {
  const counts = { packed: 0, plain: 0 };
  const count = (data: Uint8Array): void => {
    if (isPacked(data)) counts.packed++;
    else counts.plain++;
  };
  const listener = cluster.bus.connect(`listener-${origin}`);
  for (const end of ["d", "h"]) listener.subscribe(`rhone.o.${origin}.${end}`, count);
  return counts;
}

test("messages are packed as long as everybody who is heard reads that", async () => {
  const cluster = new Cluster(["a", "b"]);
  const counts = listen(cluster, "a");
  const [a, b] = cluster.members;
  await cluster.clock.advance(1500);
  put(a, "one");
  await cluster.clock.advance(500);
  assert.equal(counts.plain, 0);
  assert.ok(counts.packed >= 3, "a change, its echo and heartbeats");
  // A chassis of an earlier version asks everybody, as it does when it starts.
  const old = cluster.bus.connect("old");
  const heard: string[] = [];
  old.subscribe("rhone.o.*.d", (data, _respond, subject) => {
    if (decode(data) !== null && !isPacked(data)) heard.push(subject);
  });
  const heartbeat = { type: "heartbeat", from: "old", incarnation: 1, revision: 0, clock: 0 };
  const rest = { hash: "0".repeat(16), underlay: "10.0.0.9" };
  await cluster.clock.advance(1);
  const ask = (): void => old.publish("rhone.sync", packr.pack({ ...heartbeat, ...rest }));
  ask();
  await cluster.clock.advance(10);
  counts.packed = 0;
  put(a, "two");
  put(b, "three");
  await cluster.clock.advance(1000);
  assert.deepEqual(heard.sort(), ["rhone.o.a.d", "rhone.o.b.d"]);
  assert.equal(counts.packed, 0);
  assert.ok(counts.plain >= 2);
  // It is gone for good.
  await cluster.clock.advance(5000);
  counts.plain = 0;
  await cluster.clock.advance(2000);
  assert.equal(counts.plain, 0);
  assert.ok(cluster.isConverged);
});

test("while everybody writes, nothing is fetched that is on its way, and no sums", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  await cluster.clock.advance(2000);
  const received = () => sum(cluster.members.map(({ replicator }) => replicator.counters.received));
  const before = received();
  const writes = 1000;
  for (let i = 0; i < writes; i++) {
    put(cluster.members[i % 3], `s${i % 16}`, `${i}`);
    await cluster.clock.advance(10);
  }
  const heard = received() - before;
  const { pulls, comparisons } = totals(cluster);
  assert.equal(comparisons, 0);
  assert.ok(pulls <= 20, `${pulls} fetches in 10 s`);
  // Each write twice, six heartbeats a second, and what was fetched.
  assert.ok(heard < 2 * writes + 100, `${heard} messages`);
  await cluster.converge(200);
});

function totals({ members }: Cluster): { readonly pulls: number; readonly comparisons: number } {
  const all = members.map(({ replicator }) => replicator.counters);
  return {
    pulls: sum(all.map(({ pulls }) => pulls)),
    comparisons: sum(all.map(({ comparisons }) => comparisons)),
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, each) => all + each, 0);
}

test("what differs is found by its sums also while others write", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  await cluster.clock.advance(1500);
  for (let i = 0; i < 100; i++) put(cluster.members[0], `s${i}`);
  await cluster.converge(2000);
  const [a, b] = cluster.members;
  const fresh = createMemoryStore("d");
  fresh.merge(everythingOf(a!.store).toSpliced(50, 1), a!.store.vector);
  const broken = cluster.join("d", fresh);
  for (let i = 0; i < 3000; i++) {
    put(i % 2 === 0 ? a : b, `t${i % 16}`, `${i}`);
    await cluster.clock.advance(10);
  }
  assert.equal(broken.store.snapshot().switches.length, 116);
  assert.ok(totals(cluster).comparisons > 0);
});

test("what was lost is asked for without the vector of all", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  await cluster.clock.advance(1500);
  for (const [i, member] of cluster.members.entries()) put(member, `s${i}`);
  await cluster.converge(2000);
  await cluster.clock.advance(1000);
  const [a, b] = cluster.members;
  const requests: Message[] = [];
  const listener = cluster.bus.connect("listener");
  listener.subscribe("rhone.req.a.sync", (data) => requests.push(decode(data)!));
  await cluster.clock.advance(1);
  const clock = a!.store.clockOf("a");
  cluster.bus.lossRate = 1;
  put(a, "lost");
  await cluster.clock.advance(10);
  cluster.bus.lossRate = 0;
  put(a, "next");
  await cluster.converge(50);
  const expected = { type: "sync-request", isPartial: true, vector: { a: clock }, after: null };
  assert.deepEqual(
    requests.map((request) => ({ ...request, from: "" })),
    [1, 2].map(() => ({ ...expected, from: "" })),
  );
  assert.equal(b!.store.clockOf("a"), a!.store.clockOf("a"));
});

test("where a part does not help, all is asked for", async () => {
  const cluster = new Cluster(["a", "b"]);
  await cluster.clock.advance(1500);
  const liar = cluster.bus.connect("liar");
  const requests: boolean[] = [];
  const reply = { type: "sync-reply", from: "liar", portions: [], certificates: [] } as const;
  const rest = { next: null, vector: {}, isBehind: false, hash: "1".repeat(16) };
  liar.subscribe("rhone.req.liar.sync", (data, respond) => {
    const request = decode(data);
    if (request?.type === "sync-request") requests.push(request.isPartial);
    respond(encode({ ...reply, ...rest }));
  });
  await cluster.clock.advance(1);
  const heartbeat = { type: "heartbeat", from: "liar", incarnation: 1, revision: 9 } as const;
  const said = { clock: 9, hash: "1".repeat(16), underlay: "10.0.0.9", format: 2 };
  for (let i = 0; i < 3; i++) {
    liar.publish("rhone.o.liar.h", packHeartbeat({ ...heartbeat, ...said }));
    await cluster.clock.advance(1000);
  }
  // Of each of two.
  assert.deepEqual(requests.slice(0, 4), [true, true, false, false]);
});

test("who says too much holds up nobody else, and nothing of it is lost", async () => {
  const cluster = new Cluster(["a", "b", "c"]);
  const [a, b, c] = cluster.members;
  await cluster.clock.advance(1500);
  const takenAtOnce: number[] = [];
  b!.store.onChange((entries) => takenAtOnce.push(entries.length));
  for (let i = 0; i < TOKENS_MAX; i++) put(a, `s${i}`);
  put(c, "other");
  await cluster.clock.advance(4);
  const unread = cluster.refused.get("gossip-too-fast a") ?? 0;
  assert.ok(unread > 0 && unread < TOKENS_MAX, `${unread} at b and at c: each costs more than 1`);
  assert.deepEqual(
    [...cluster.refused.keys()].filter((what) => !what.endsWith(" a")),
    [],
  );
  const other = b!.store.snapshot().switches.find(({ name }) => name === "other");
  assert.ok(other !== undefined, "c is heard at once");
  // Whoever lacks a change sees so by the next one of a, or by its echo.
  await cluster.converge(500);
  const most = Math.max(...takenAtOnce);
  assert.ok(most > 1 && most <= 64, `${most} at once: others are heard in between`);
});
