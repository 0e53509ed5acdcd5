/**
 * A switch that asks for fresh knowledge of the other chassis: where a chassis has none, nothing
 * begins, in either half of a packet's way; what has begun goes on.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildNetwork } from "./network-spec.ts";
import { makeCluster, NETWORK, reasonsOf, udpBetween } from "./two-chassis.ts";
import type { VirtualCluster } from "./virtual-cluster.ts";

const SECONDS = 10;
const HERE = "c0";
const THERE = "c1";

const textsOf = (cluster: VirtualCluster): string[] =>
  cluster.take().map(({ port, bytes }) => `${port} ${Buffer.from(bytes.subarray(42))}`);

function setAge(cluster: VirtualCluster, chassis: string, ageMs: number): void {
  for (const { core } of cluster.workersOf(chassis)) core.knowledge.set(cluster.nowMs, ageMs);
}

function make(seed: number, maxStaleSeconds: number | undefined = SECONDS) {
  const built = buildNetwork(NETWORK);
  const switches = built.state.switches.map((entry) => {
    return { ...entry, value: { ...entry.value, ...(maxStaleSeconds && { maxStaleSeconds }) } };
  });
  const made = makeCluster(seed, false, { ...built, state: { ...built.state, switches } });
  const { cluster, network } = made;
  for (const chassis of [HERE, THERE]) setAge(cluster, chassis, 0);
  /** What is delivered. */
  const send = (text: string, from = "p0", to = "p1"): string[] => {
    cluster.receive(from, udpBetween(network, from, to, text));
    cluster.run();
    return textsOf(cluster);
  };
  const answer = (text: string): string[] => {
    const frame = udpBetween(network, "p1", "p0", text);
    const [source, destination] = [frame.readUInt16BE(34), frame.readUInt16BE(36)];
    frame.writeUInt16BE(destination, 34);
    frame.writeUInt16BE(source, 36);
    cluster.receive("p1", frame);
    cluster.run();
    return textsOf(cluster);
  };
  return { cluster, send, answer };
}

test("nothing begins with knowledge that is too old, and all does when it is fresh again", () => {
  const { cluster, send } = make(1);
  setAge(cluster, HERE, SECONDS * 1000 + 1);
  assert.deepEqual(send("1"), []);
  assert.deepEqual(reasonsOf(cluster, HERE), { "knowledge-stale": 1 });
  setAge(cluster, HERE, SECONDS * 1000);
  assert.deepEqual(send("2"), ["p1 2"]);
  assert.equal(cluster.freeSlots, cluster.slotCount);
});

test("what has begun goes on, answered or not, until it has run out", () => {
  const { cluster, send, answer } = make(2);
  assert.deepEqual(send("1"), ["p1 1"]);
  cluster.passTime(SECONDS * 1000 + 1);
  assert.deepEqual(send("2"), ["p1 2"]);
  assert.deepEqual(answer("3"), ["p0 3"]);
  assert.deepEqual(send("4"), ["p1 4"]);
  assert.deepEqual(send("5", "p0", "p3"), [], "that is another one");
  cluster.passTime(86_400_000);
  assert.deepEqual(send("6"), []);
  assert.deepEqual(reasonsOf(cluster, HERE), { "knowledge-stale": 2 });
});

test("each chassis says so of what begins at its own ports", () => {
  const { cluster, send } = make(3);
  setAge(cluster, THERE, Number.POSITIVE_INFINITY);
  assert.deepEqual(send("1"), []);
  assert.deepEqual(reasonsOf(cluster, HERE), {});
  assert.deepEqual(reasonsOf(cluster, THERE), { "knowledge-stale": 1 });
  assert.deepEqual(send("2", "p0", "p2"), ["p2 2"]);
});

test("a switch that does not ask for it does not mind", () => {
  const { cluster, send } = make(4, 0);
  for (const chassis of [HERE, THERE]) setAge(cluster, chassis, Number.POSITIVE_INFINITY);
  assert.deepEqual(send("1"), ["p1 1"]);
});
