/**
 * The ports that need no kernel, under whole workers: captures are replayed through the pipeline
 * and recorded behind it, and a line that loses, doubles, delays and damages frames costs nothing
 * but frames.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FaultyPort } from "@rhone/netio/faulty";
import { openPcapFile } from "@rhone/netio/pcap-file";
import { Random } from "./random.ts";
import { makeCluster, reasonsOf, udpBetween } from "./two-chassis.ts";
import type { VirtualCluster } from "./virtual-cluster.ts";
import { VirtualPort } from "./virtual-port.ts";

const FRAMES = 200;
const RATES = { drop: 0.1, duplicate: 0.1, delay: 0.1, reorder: 0.1 };
/** Calls after which a line has let out whatever it delays. */
const CALLS = 20;

const folder = mkdtempSync(join(tmpdir(), "rhone-ports-"));
after(() => rmSync(folder, { recursive: true }));

const sumOf = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

function assertNoneLost(cluster: VirtualCluster): void {
  cluster.run();
  assert.equal(cluster.freeSlots, cluster.slotCount);
}

test("a capture that was recorded behind one pipeline is replayed through another", () => {
  const path = join(folder, "crossed.pcap");
  const { cluster, network } = makeCluster(1);
  const recorder = cluster.attach("p1", (context) => openPcapFile({ write: path }, context));
  const frames = Array.from({ length: FRAMES }, (_, i) => {
    return udpBetween(network, "p0", "p1", `frame ${i}`);
  });
  for (const frame of frames) cluster.receive("p0", frame);
  cluster.run();
  recorder.close();
  assertNoneLost(cluster);
  const again = makeCluster(2).cluster;
  again.attach("p0", (context) => openPcapFile({ read: path }, context));
  for (let turn = 0; turn < CALLS; turn++) again.run();
  assert.deepEqual(
    again.take().map(({ port, bytes }) => [port, Buffer.from(bytes)]),
    frames.map((frame) => ["p1", frame]),
  );
  assertNoneLost(again);
});

test("behind a bad line every frame is delivered, doubled or counted, and no slot is lost", () => {
  const { cluster, network } = makeCluster(3);
  const [worker] = cluster.workersOf("c0");
  let inner: VirtualPort | undefined;
  const line = cluster.attach("p2", (context) => {
    inner = new VirtualPort(context, new Random(3));
    return new FaultyPort(inner, context.allocator, { seed: 3, transmit: RATES });
  });
  for (let i = 0; i < FRAMES; i++) {
    cluster.receive("p0", udpBetween(network, "p0", "p2", `frame ${i}`));
    cluster.run();
  }
  for (let call = 0; call < CALLS; call++) line.reclaim();
  const { dropped, duplicated, delayed, reordered } = line.counts;
  for (const count of [dropped, duplicated, delayed, reordered]) assert.ok(count > 0);
  assert.equal(inner!.sent.length, FRAMES - dropped + duplicated);
  assert.deepEqual(reasonsOf(cluster, "c0"), {});
  assert.ok(worker!.counters.worker().loops > 0);
  assertNoneLost(cluster);
});

test("frames that a line has damaged are delivered or dropped by name", () => {
  const { cluster, network } = makeCluster(4);
  let inner: VirtualPort | undefined;
  const line = cluster.attach("p0", (context) => {
    inner = new VirtualPort(context, new Random(4));
    return new FaultyPort(inner, context.allocator, { seed: 4, receive: { corrupt: 1 } });
  });
  for (let i = 0; i < FRAMES; i++) {
    inner!.incoming.push(udpBetween(network, "p0", "p2", `frame ${i}`));
    for (let call = 0; call < CALLS && inner!.incoming.length > 0; call++) cluster.run();
    cluster.run();
  }
  assert.equal(line.counts.corrupted, FRAMES);
  const delivered = cluster.take().length;
  const drops = sumOf(reasonsOf(cluster, "c0")) + sumOf(reasonsOf(cluster, "c1"));
  assert.ok(drops > 0 && delivered > 0);
  assertNoneLost(cluster);
});
