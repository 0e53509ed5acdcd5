import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapStatistics } from "node:v8";
import * as packet from "@rhone/rings/packet";
import * as acls from "@rhone/tables/acls";
import { udpFrame } from "../test/frames.ts";
import { buildTables, MACS, ROUTER_WEB, TestWorker, VM1 } from "../test/network.ts";

const BATCH = 64;
const PACKETS = 1_000_000;
/**
 * Until the functions are compiled, which other work on the machine delays, they allocate; what
 * allocates for a packet does so in every round.
 */
const ROUNDS_MAX = 10;
/** The least that a packet can allocate is 8; the compiler and the test runner also want some. */
const BYTES_PER_PACKET_MAX = 1;

const ANY: acls.AclRule = {
  ...{ direction: acls.FROM_PORT, datapath: 0, port: -1, protocol: acls.ANY_PROTOCOL },
  ...{ source: null, destination: null },
  ...{ sourcePorts: acls.ANY_PORT, destinationPorts: acls.ANY_PORT },
  ...{ action: acls.ACTION_ALLOW, counter: 1 },
};
const RULES: readonly acls.AclRule[] = [
  { ...ANY, protocol: 6, action: acls.ACTION_DROP },
  ANY,
  { ...ANY, direction: acls.TO_PORT, datapath: 1, action: acls.ACTION_ALLOW_STATELESS },
];

test("a million packets of a known flow allocate nothing", () => {
  assertNoAllocation(new TestWorker());
});

test("a million packets that walk the stages and are asked about allocate nothing", () => {
  const worker = new TestWorker(0, buildTables(1, RULES));
  worker.isFast = false;
  assertNoAllocation(worker);
  assert.ok(worker.ruleCounters.hits(1) >= 2 * PACKETS);
});

function assertNoAllocation(worker: TestWorker): void {
  const ends = { from: "10.0.1.10", fromMac: MACS[VM1]!, to: "10.0.2.10" };
  const frame = udpFrame({ ...ends, toMac: MACS[ROUTER_WEB]! }, 18);
  const { devices } = worker.core.outlets;
  const arrivals = worker.arrivals.stages[0]!;
  const slots = Array.from({ length: BATCH }, () => worker.receive(frame, 0));
  const frameAts = slots.map((slot) => packet.frameAt(slot));
  const header = frame.slice(0, 34);
  const allocatedBy = (packets: number): number => {
    const before = getHeapStatistics().total_allocated_bytes;
    for (let sent = 0; sent < packets; sent += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        worker.restore(frameAts[i]!, header);
        packet.begin(slots[i]!, frameAts[i]!, frame.length, 0);
        arrivals.add(slots[i]!);
      }
      worker.run();
      assert.equal(devices[2]!.count, BATCH);
      devices[2]!.count = 0;
    }
    return (getHeapStatistics().total_allocated_bytes - before) / packets;
  };
  let bytes = allocatedBy(PACKETS);
  for (let i = 1; i < ROUNDS_MAX && bytes > BYTES_PER_PACKET_MAX; i++) bytes = allocatedBy(PACKETS);
  assert.ok(bytes <= BYTES_PER_PACKET_MAX, `expected at most 1 byte a packet, got ${bytes}`);
}
