/**
 * A worker that does not keep up: the ring to it fills, what is newest is dropped by name, and when
 * it runs again everything passes, as often as that happens.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GoldenNetwork } from "../golden/network.ts";
import { buildNetwork } from "./network-spec.ts";
import { NETWORK, reasonsOf, udpBetween } from "./two-chassis.ts";
import { VirtualCluster } from "./virtual-cluster.ts";

const RING = 16;
const SENT = 40;
const TURNS = 30; // Enough for a worker to take everything in.
/** Ethernet, IPv4 and UDP. */
const HEADERS_SIZE = 14 + 20 + 8;

const { state, workers, devices } = buildNetwork(NETWORK);
const network = new GoldenNetwork(state, new Set(devices.keys()));

function textsOf(cluster: VirtualCluster): string[] {
  return cluster.take().map(({ bytes }) => Buffer.from(bytes.subarray(HEADERS_SIZE)).toString());
}

test("a full ring drops the newest by name, and recovers by itself, every time", () => {
  const options = { seed: 1, tunnelMtu: 1418, workers, devices, ringCapacity: RING };
  const cluster = new VirtualCluster(state, options);
  const [first, second] = cluster.workersOf("c0");
  // Every flow is the second worker's, and both ports are the first one's.
  first!.core.owners.fill(1);
  second!.core.owners.fill(1);
  for (let round = 1; round <= 3; round++) {
    const texts = Array.from({ length: SENT }, (_, i) => `${round} ${i}`);
    for (const text of texts) cluster.receive("p0", udpBetween(network, "p0", "p2", text));
    for (let turn = 0; turn < TURNS; turn++) first!.turn(cluster.nowMs);
    assert.deepEqual(reasonsOf(cluster, "c0"), { "ring-full": (SENT - RING) * round });
    cluster.run();
    assert.deepEqual(textsOf(cluster), texts.slice(0, RING));
    cluster.receive("p0", udpBetween(network, "p0", "p2", "after"));
    cluster.run();
    assert.deepEqual(textsOf(cluster), ["after"]);
    assert.deepEqual(reasonsOf(cluster, "c0"), { "ring-full": (SENT - RING) * round });
    assert.equal(cluster.freeSlots, cluster.slotCount);
  }
});
