import assert from "node:assert/strict";
import { test } from "node:test";
import { BUCKET_COUNT } from "@rhone/rings/buckets";
import * as acls from "@rhone/tables/acls";
import * as connections from "@rhone/tables/connections";
import type { Tables } from "@rhone/tables/generation";
import * as near from "@rhone/tables/near-connections";
import * as tcp from "@rhone/wire/tcp";
import fc from "fast-check";
import { type Outcome, run, type Step, type Way } from "../test/fast-path-steps.ts";
import { type Ends, udpFrame } from "../test/frames.ts";
import {
  buildTables,
  MACS,
  ROUTER_DB,
  ROUTER_WEB,
  TestWorker,
  VM1,
  VM2,
  VM3,
  VM4,
  VM5,
} from "../test/network.ts";

/** Ways through the network: there and back, routed and bridged, to here and elsewhere. */
const WAYS: readonly Way[] = [
  { device: 0, ends: ends(VM1, "10.0.1.10", ROUTER_WEB, "10.0.2.10") },
  { device: 2, ends: ends(VM4, "10.0.2.10", ROUTER_DB, "10.0.1.10") },
  { device: 0, ends: ends(VM1, "10.0.1.10", VM2, "10.0.1.11") },
  { device: 0, ends: ends(VM1, "10.0.1.10", VM3, "10.0.1.12") },
  { device: 0, ends: ends(VM1, "10.0.1.10", ROUTER_WEB, "10.0.2.11") },
  { device: 2, ends: ends(VM4, "10.0.2.10", VM5, "10.0.2.11") },
  { device: 0, ends: ends(VM1, "fd00:0:0:1::10", ROUTER_WEB, "fd00:0:0:2::10") },
  { device: 2, ends: ends(VM4, "fd00:0:0:2::10", ROUTER_DB, "fd00:0:0:1::10") },
  // Wrong in one thing each: what the flow before it was allowed does not help.
  { device: 0, ends: ends(VM1, "10.0.1.10", VM4, "10.0.2.10") },
  { device: 0, ends: ends(VM2, "10.0.1.10", ROUTER_WEB, "10.0.2.10") },
  { device: 2, ends: ends(VM1, "10.0.1.10", ROUTER_WEB, "10.0.2.10") },
  { device: 0, ends: ends(VM1, "10.0.1.77", ROUTER_WEB, "10.0.2.10") },
  { device: 0, ends: ends(VM1, "fd00:0:0:1::77", ROUTER_WEB, "fd00:0:0:2::10") },
];

function ends(from: number, source: string, to: number, destination: string): Ends {
  return { from: source, fromMac: MACS[from]!, to: destination, toMac: MACS[to]! };
}

/** Rules of every action, for both directions, so that each may come under a connection's feet. */
const RULES = {
  ...{ port: -1, source: null, destination: null },
  ...{ sourcePorts: acls.ANY_PORT, destinationPorts: acls.ANY_PORT, protocol: acls.ANY_PROTOCOL },
};
const [UDP, TCP, WEB, DB] = [17, 6, 0, 1];
const TABLES: readonly Tables[] = [
  buildTables(1),
  buildTables(2, [
    { ...RULES, ...from(WEB), protocol: UDP, action: acls.ACTION_ALLOW, counter: 1 },
    { ...RULES, ...to(DB), protocol: TCP, action: acls.ACTION_REJECT, counter: 2 },
    { ...RULES, ...from(WEB), port: VM1, action: acls.ACTION_REJECT, counter: 3 },
    { ...RULES, ...to(WEB), protocol: TCP, action: acls.ACTION_DROP, counter: 4 },
  ]),
  buildTables(3, [
    { ...RULES, ...to(DB), protocol: UDP, action: acls.ACTION_ALLOW_STATELESS, counter: 5 },
    { ...RULES, ...from(DB), protocol: UDP, action: acls.ACTION_DROP, counter: 6 },
    { ...RULES, ...to(DB), protocol: TCP, action: acls.ACTION_ALLOW, counter: 7 },
    { ...RULES, ...to(WEB), protocol: UDP, action: acls.ACTION_ALLOW, counter: -1 },
  ]),
];

function from(datapath: number) {
  return { direction: acls.FROM_PORT, datapath } as const;
}

function to(datapath: number) {
  return { direction: acls.TO_PORT, datapath } as const;
}

const steps = fc.array(
  fc.record<Step>({
    way: fc.nat(WAYS.length - 1),
    protocol: fc.constantFrom("udp", "udp", "tcp", "tcp", "fragments"),
    flags: fc.constantFrom(
      ...[tcp.ACK, tcp.ACK, tcp.ACK | tcp.PSH, tcp.SYN, tcp.SYN | tcp.ACK, tcp.FIN | tcp.ACK],
      tcp.RST,
    ),
    ttl: fc.constantFrom(64, 64, 64, 2, 1),
    payload: fc.constantFrom(4, 100, 1390, 1400),
    port: fc.constantFrom(4000, 4001),
    wait: fc.constantFrom(0, 0, 0, 20_000, 70_000),
    isLast: fc.boolean(),
    tables: fc.constant(null),
  }),
  { minLength: 10, maxLength: 80 },
);

/** Flows that live long, and rules that come and go. */
const ruledSteps = fc.array(
  fc.record<Step>({
    // The first two are the two directions of one flow, which takes several steps to be blocked.
    way: fc.oneof(fc.nat(1), fc.nat(WAYS.length - 1)),
    protocol: fc.constantFrom("udp", "tcp"),
    flags: fc.constant(tcp.ACK),
    ttl: fc.constant(64),
    payload: fc.constantFrom(4, 100),
    port: fc.constantFrom(4000, 4001),
    wait: fc.constant(0),
    isLast: fc.boolean(),
    tables: fc.oneof(
      { weight: 9, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.nat(TABLES.length - 1) },
    ),
  }),
  { minLength: 10, maxLength: 80 },
);

function runAll(list: readonly Step[], isFast: boolean, foreign = 0): Outcome {
  return run(list, WAYS, TABLES, isFast, foreign);
}

test("the fast path and the stages give the same frames, counters, drops and connections", () => {
  fc.assert(
    fc.property(steps, (list) => {
      assert.deepEqual(runAll(list, true), runAll(list, false));
    }),
    { numRuns: 400 },
  );
});

test("they give the same under rules that come and go, and what the rules count", () => {
  fc.assert(
    fc.property(ruledSteps, (list) => {
      assert.deepEqual(runAll(list, true), runAll(list, false));
    }),
    { numRuns: 400 },
  );
});

test("flows of another worker are handed over as the stages do it", () => {
  fc.assert(
    fc.property(steps, fc.constantFrom(1, 4, 255), (list, foreign) => {
      assert.deepEqual(runAll(list, true, foreign), runAll(list, false, foreign));
    }),
    { numRuns: 400 },
  );
});

/** Gives every bucket more connections than count as few. */
function crowd(nowMs: number): void {
  for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
    for (let i = 0; i < 33; i++) {
      connections.loadIpv4(99, 1, UDP, i, bucket, 1, 2);
      const entry = connections.insert((bucket << 24) | i, nowMs);
      connections.setExpires(entry, nowMs + 90_000_000);
    }
  }
  assert.ok(near.areMany(0));
}

test("they give the same among so many connections that those of a batch are fetched first", () => {
  const runFull = (list: readonly Step[], isFast: boolean): Outcome =>
    run(list, WAYS, TABLES, isFast, 0, crowd);
  fc.assert(
    fc.property(ruledSteps, (list) => {
      assert.deepEqual(runFull(list, true), runFull(list, false));
    }),
    { numRuns: 100 },
  );
});

test("packets of a known flow do not walk, others do, and order within a flow is kept", () => {
  const worker = new TestWorker();
  const { device, ends: way } = WAYS[0]!;
  worker.send(udpFrame(way, 8, [5000, 9]), device);
  worker.toDevice(2);
  const walked = (): number => worker.walked;
  const before = walked();
  for (let i = 0; i < 10; i++) worker.arrivals.stages[0]!.add(worker.receive(numbered(i), device));
  worker.run();
  assert.equal(walked(), before, "all ten are of the flow that is known");
  // A fragment in the middle walks, and with it what is behind it.
  for (let i = 0; i < 3; i++) worker.arrivals.stages[0]!.add(worker.receive(numbered(i), device));
  const spent = { ...way, ttl: 1 };
  worker.arrivals.stages[0]!.add(worker.receive(udpFrame(spent, 8, [5000, 9]), device));
  for (let i = 3; i < 6; i++) worker.arrivals.stages[0]!.add(worker.receive(numbered(i), device));
  worker.toDevice(2);
  worker.run();
  assert.equal(walked(), before + 4);
  assert.deepEqual(
    worker.toDevice(2).map((frame) => frame.at(-1)),
    [0, 1, 2, 3, 4, 5],
  );
  worker.toDevice(0);

  function numbered(i: number): Uint8Array {
    const frame = udpFrame(way, 8, [5000, 9]);
    frame[frame.length - 1] = i;
    return frame;
  }
});

test("a decision ends with its tables", () => {
  const worker = new TestWorker();
  const { device, ends: way } = WAYS[0]!;
  const frame = udpFrame(way, 8, [5001, 9]);
  for (let i = 0; i < 3; i++) worker.send(frame, device);
  assert.equal(worker.walked, 1);
  worker.core.tables = buildTables(2);
  for (let i = 0; i < 3; i++) worker.send(frame, device);
  assert.equal(worker.walked, 2);
  assert.equal(worker.toDevice(2).length, 6);
});
