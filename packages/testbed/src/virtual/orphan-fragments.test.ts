/**
 * Fragments that come before their first one wait for it and follow it, at either chassis and
 * whatever worker has them; without it they are dropped by name when their time is up.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ORPHAN_MS, ORPHANS_OF_PAIR_MAX } from "@rhone/dataplane-worker/orphan-fragments";
import { IPV4, UDP } from "../golden/headers.ts";
import type { GoldenNetwork } from "../golden/network.ts";
import * as frames from "./frames.ts";
import { makeCluster, reasonsOf } from "./two-chassis.ts";
import type { VirtualCluster } from "./virtual-cluster.ts";

/** Bytes of payload of a fragment. */
const PIECE = 64;
const SEEDS = 15;

/** A UDP datagram of so many fragments between two ports, in order. */
function fragmentsBetween(
  network: GoldenNetwork,
  from: string,
  to: string,
  count: number,
  identification = 7,
): Buffer[] {
  const [sender, receiver] = [network.port(from), network.port(to)];
  const [source, destination] = [sender.addresses[0]!, receiver.addresses[0]!];
  const ends = { source, destination, sourcePort: 4000, destinationPort: 9 };
  const datagram = frames.udp(ends, Buffer.alloc(PIECE * count - 8, 0x61));
  return Array.from({ length: count }, (_, i) => {
    const fields = {
      ...{ source, destination, ttl: 64, protocol: UDP },
      ...{ dontFragment: false, hasOptions: false },
      fragment: { identification, offset: (i * PIECE) / 8, hasMore: i < count - 1 },
    };
    const packet = frames.ipPacket(fields, datagram.subarray(i * PIECE, (i + 1) * PIECE));
    return frames.ethernet(receiver.mac, sender.mac, IPV4, packet);
  });
}

const takeFrames = (cluster: VirtualCluster): string[] =>
  cluster.take().map(({ bytes }) => Buffer.from(bytes).toString("hex"));

const hexOf = (all: readonly Buffer[]): string[] => all.map((frame) => frame.toString("hex"));

function assertAtRest(cluster: VirtualCluster): void {
  assert.equal(cluster.freeSlots, cluster.slotCount);
}

for (const to of ["p1", "p2"]) {
  test(`the last one first, from p0 to ${to}: all arrive, behind the first`, () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { cluster, network } = makeCluster(seed);
      const all = fragmentsBetween(network, "p0", to, 6);
      for (const fragment of all.toReversed()) cluster.receive("p0", fragment);
      cluster.run();
      const got = takeFrames(cluster);
      assert.equal(got[0], all[0]!.toString("hex"), `seed ${seed}`);
      assert.deepEqual(got.sort(), hexOf(all).sort(), `seed ${seed}`);
      assert.deepEqual([reasonsOf(cluster, "c0"), reasonsOf(cluster, "c1")], [{}, {}]);
      assertAtRest(cluster);
    }
  });
}

test("those that wait go on when the first one comes within their time, and not behind it", () => {
  for (const [pauseMs, isInTime] of [
    [ORPHAN_MS - 1, true],
    [ORPHAN_MS, false],
  ] as const) {
    const { cluster, network } = makeCluster(1);
    const [first, ...later] = fragmentsBetween(network, "p0", "p2", 4);
    for (const fragment of later) cluster.receive("p0", fragment);
    cluster.run();
    assert.deepEqual(takeFrames(cluster), []);
    cluster.passTime(pauseMs);
    cluster.run();
    cluster.receive("p0", first!);
    cluster.run();
    const expected = isInTime ? [first!, ...later] : [first!];
    assert.deepEqual(takeFrames(cluster).sort(), hexOf(expected).sort());
    const reasons = isInTime ? {} : { "fragment-orphan": later.length };
    assert.deepEqual(reasonsOf(cluster, "c0"), reasons);
    assertAtRest(cluster);
  }
});

test("a first one that is lost between chassis is waited for at the other one", () => {
  const { cluster, network } = makeCluster(2);
  const all = fragmentsBetween(network, "p0", "p1", 4);
  let crossings = 0;
  cluster.underlay.copies = () => (crossings++ === 0 ? 0 : 1);
  for (const fragment of all) cluster.receive("p0", fragment);
  cluster.runToTheEnd();
  assert.deepEqual(takeFrames(cluster), []);
  assert.deepEqual(reasonsOf(cluster, "c1"), { "fragment-orphan": all.length - 1 });
  assertAtRest(cluster);
});

test("they wait where their bucket goes", () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { cluster, network } = makeCluster(seed);
    const [first, ...later] = fragmentsBetween(network, "p0", "p2", 4);
    const workers = cluster.workersOf("c0");
    for (const { core } of workers) core.owners.fill(0);
    for (const fragment of later) cluster.receive("p0", fragment);
    cluster.run();
    assert.equal(workers[0]!.orphans.count, later.length);
    for (const { core } of workers) core.owners.fill(1);
    cluster.run();
    assert.deepEqual(
      workers.map(({ orphans }) => orphans.count),
      [0, later.length],
    );
    cluster.receive("p0", first!);
    cluster.run();
    assert.deepEqual(takeFrames(cluster).sort(), hexOf([first!, ...later]).sort());
    assert.deepEqual(reasonsOf(cluster, "c0"), {});
    assertAtRest(cluster);
  }
});

test("of one pair of addresses only so many wait, and the others are dropped at once", () => {
  const { cluster, network } = makeCluster(3);
  const more = 5;
  for (let datagram = 0; datagram < ORPHANS_OF_PAIR_MAX + more; datagram++) {
    const [, later] = fragmentsBetween(network, "p0", "p2", 2, datagram);
    cluster.receive("p0", later!);
  }
  cluster.run();
  assert.deepEqual(reasonsOf(cluster, "c0"), { "fragment-orphan": more });
  cluster.runToTheEnd();
  assert.deepEqual(reasonsOf(cluster, "c0"), { "fragment-orphan": ORPHANS_OF_PAIR_MAX + more });
  assert.deepEqual(takeFrames(cluster), []);
  assertAtRest(cluster);
});
