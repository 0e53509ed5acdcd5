/**
 * A device that its chassis may use until a certain time: whole workers let nothing in or out by it
 * from then on, whatever their tables say, and all by themselves.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeCluster, reasonsOf, udpBetween } from "./two-chassis.ts";

/** Of p0 at c0; p2 is there, too, and has none. */
const FENCED = 0;
const LEASE_MS = 800;

function make(seed: number) {
  const { cluster, network } = makeCluster(seed);
  const setUntil = (untilMs: number): void => {
    for (const { core } of cluster.workersOf("c0")) core.fences.set(FENCED, untilMs);
  };
  /** Where a frame between two ports comes out. */
  const send = (from: string, to: string): string[] => {
    cluster.receive(from, udpBetween(network, from, to, "x"));
    cluster.run();
    return cluster.take().map(({ port }) => port);
  };
  return { cluster, setUntil, send };
}

test("nothing comes or goes by a fenced device until it has a lease, by others it does", () => {
  const { cluster, setUntil, send } = make(1);
  setUntil(Number.NEGATIVE_INFINITY);
  assert.deepEqual([send("p0", "p2"), send("p2", "p0"), send("p1", "p0")], [[], [], []]);
  assert.deepEqual([send("p2", "p1"), send("p1", "p2")], [["p1"], ["p2"]]);
  assert.deepEqual(reasonsOf(cluster, "c0"), { "gateway-fenced": 3 });
  setUntil(cluster.nowMs + LEASE_MS);
  assert.deepEqual(
    [send("p0", "p2"), send("p2", "p0"), send("p1", "p0")],
    [["p2"], ["p0"], ["p0"]],
  );
  assert.equal(cluster.freeSlots, cluster.slotCount);
});

test("a lease that nobody renews ends by itself, one that is renewed does not", () => {
  const { cluster, setUntil, send } = make(2);
  setUntil(cluster.nowMs + LEASE_MS);
  cluster.passTime(LEASE_MS - 1);
  assert.deepEqual(send("p0", "p1"), ["p1"]);
  cluster.passTime(1);
  assert.deepEqual([send("p0", "p1"), send("p1", "p0")], [[], []]);
  setUntil(cluster.nowMs + LEASE_MS);
  assert.deepEqual([send("p0", "p1"), send("p1", "p0")], [["p1"], ["p0"]]);
});
