import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapStatistics } from "node:v8";
import * as packet from "@rhone/rings/packet";
import * as acls from "@rhone/tables/acls";
import { type Ends, udpFrame } from "../test/frames.ts";
import {
  buildTables,
  ip,
  MACS,
  ROUTER_DB,
  ROUTER_WEB,
  TestWorker,
  VM1,
  VM4,
} from "../test/network.ts";

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

test("a million packets to a VIP, and of its backend, allocate nothing", () => {
  const backends = [{ address: ip("10.0.2.10"), port: 90 }];
  const vip = { datapath: 0, address: ip("10.0.9.9"), protocol: 17, servicePort: 9 };
  const vips = [{ ...vip, backends, rejects: true }];
  const worker = new TestWorker(0, buildTables(1, [], null, new Map(), [], [], vips));
  const question = udpFrame({ ...TO_VM4, to: "10.0.9.9" }, 18, [41_000, 9]);
  const answer = udpFrame(FROM_VM4, 18, [90, 41_000]);
  worker.send(question, 0);
  worker.toDevice(2);
  worker.send(answer, 2);
  worker.toDevice(0);
  const before = worker.walked;
  assertNoAllocation(worker, question, 0, 2);
  assertNoAllocation(worker, answer, 2, 0);
  assert.equal(worker.walked, before);
});

const TO_VM4: Ends = {
  ...{ from: "10.0.1.10", fromMac: MACS[VM1]!, to: "10.0.2.10", toMac: MACS[ROUTER_WEB]! },
};
const FROM_VM4: Ends = {
  ...{ from: "10.0.2.10", fromMac: MACS[VM4]!, to: "10.0.1.10", toMac: MACS[ROUTER_DB]! },
};

function assertNoAllocation(
  worker: TestWorker,
  frame = udpFrame(TO_VM4, 18),
  from = 0,
  to = 2,
): void {
  const { devices } = worker.core.outlets;
  const arrivals = worker.arrivals.stages[0]!;
  const slots = Array.from({ length: BATCH }, () => worker.receive(frame, from));
  const frameAts = slots.map((slot) => packet.frameAt(slot));
  const header = frame.slice(0, 42);
  const allocatedBy = (packets: number): number => {
    const before = getHeapStatistics().total_allocated_bytes;
    for (let sent = 0; sent < packets; sent += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        worker.restore(frameAts[i]!, header);
        packet.begin(slots[i]!, frameAts[i]!, frame.length, from);
        arrivals.add(slots[i]!);
      }
      worker.run();
      assert.equal(devices[to]!.count, BATCH);
      devices[to]!.count = 0;
    }
    return (getHeapStatistics().total_allocated_bytes - before) / packets;
  };
  let bytes = allocatedBy(PACKETS);
  for (let i = 1; i < ROUNDS_MAX && bytes > BYTES_PER_PACKET_MAX; i++) bytes = allocatedBy(PACKETS);
  assert.ok(bytes <= BYTES_PER_PACKET_MAX, `expected at most 1 byte a packet, got ${bytes}`);
}
