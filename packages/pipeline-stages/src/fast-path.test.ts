import assert from "node:assert/strict";
import { test } from "node:test";
import { BUCKET_COUNT } from "@rhone/rings/buckets";
import { DROP_REASON_COUNT } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import * as acls from "@rhone/tables/acls";
import * as connections from "@rhone/tables/connections";
import type { Tables } from "@rhone/tables/generation";
import * as near from "@rhone/tables/near-connections";
import { parseAddress } from "@rhone/wire/address";
import * as tcp from "@rhone/wire/tcp";
import fc from "fast-check";
import { type Ends, fragmentsOf, tcpFrame, udpFrame } from "../test/frames.ts";
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
import { assertInOrder, number } from "../test/numbered-frames.ts";
import { STAGES } from "./pipeline.ts";

/** Ways through the network: there and back, routed and bridged, to here and elsewhere. */
const WAYS: readonly { device: number; ends: Ends }[] = [
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
const RULE_COUNTERS = 8;

function from(datapath: number) {
  return { direction: acls.FROM_PORT, datapath } as const;
}

function to(datapath: number) {
  return { direction: acls.TO_PORT, datapath } as const;
}

interface Step {
  readonly way: number;
  readonly protocol: "udp" | "tcp" | "fragments";
  readonly flags: number;
  readonly ttl: number;
  readonly payload: number;
  readonly port: number;
  readonly wait: number;
  readonly isLast: boolean;
  /** Tables of what comes behind the step; null leaves them. */
  readonly tables: number | null;
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

/** The frames of a step; the numbers of TCP are always inside of the windows. */
function framesOf(step: Step): Uint8Array[] {
  const { ttl, payload, port, flags } = step;
  const way = { ...WAYS[step.way]!.ends, ttl };
  const ports: [number, number] = isUp(step) ? [port, 80] : [80, port];
  if (step.protocol === "tcp") {
    const isSyn = (flags & tcp.SYN) !== 0;
    const sequence = isSyn ? 1000 : 1001;
    return [
      tcpFrame(way, ports, { flags, sequence, acknowledgment: 1001, payload: isSyn ? 0 : payload }),
    ];
  }
  const frame = udpFrame(way, payload, ports);
  return step.protocol === "udp" || way.from.includes(":") ? [frame] : fragmentsOf(frame, 48);
}

function isUp({ way }: Step): boolean {
  const { from, to } = WAYS[way]!.ends;
  return parseAddress(from)![3] < parseAddress(to)![3];
}

let now = 1;

interface Outcome {
  readonly frames: readonly (readonly string[])[];
  readonly stages: readonly number[];
  readonly drops: readonly number[];
  readonly states: readonly string[];
  readonly hits: readonly number[];
}

/**
 * Runs the steps on a worker that knows no connection. Batches end where a step says so. Buckets
 * whose number has a bit of `foreign` belong to another worker.
 */
function run(list: readonly Step[], isFast: boolean, foreign = 0): Outcome {
  now += 100_000_000;
  const worker = new TestWorker(0, TABLES[0]);
  for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
    if ((bucket & foreign) !== 0) worker.core.owners[bucket] = 1;
  }
  const free = worker.freeSlots();
  worker.isFast = isFast;
  worker.core.nowMs = now;
  const frames: string[][] = [[], [], [], []];
  const flush = (): void => {
    worker.run();
    const taken = [worker.toDevice(0), worker.toDevice(2), worker.toWorker(1), worker.toChassis()];
    for (const [i, list] of taken.entries()) {
      assertInOrder(list);
      frames[i]!.push(...list.map((frame) => Buffer.from(frame).toString("hex")));
    }
  };
  let isUpBefore = false;
  let isSteadyBefore = true;
  let sent = 0;
  for (const step of list) {
    // In one batch the stages judge all packets by what was before the first; the fast path has
    // taken some of them in by then. That shows where directions meet, or TCP's state changes.
    const isSteady = step.protocol !== "tcp" || (step.flags & ~tcp.PSH) === tcp.ACK;
    if (isUp(step) !== isUpBefore || !isSteady || !isSteadyBefore) flush();
    isUpBefore = isUp(step);
    isSteadyBefore = isSteady;
    for (const frame of framesOf(step)) {
      number(frame, ++sent);
      worker.arrivals.stages[0]!.add(worker.receive(frame, WAYS[step.way]!.device));
    }
    if (step.isLast) {
      flush();
      worker.core.nowMs += step.wait;
      if (step.tables !== null) worker.core.tables = TABLES[step.tables]!;
    }
  }
  flush();
  assert.equal(worker.freeSlots(), free);
  return {
    frames: frames.map((list) => list.toSorted()), // Across flows the order is free.
    stages: STAGES.map((_, stage) => worker.counters.stage(stage).packets),
    drops: Array.from({ length: DROP_REASON_COUNT }, (_, reason) =>
      worker.counters.dropped(reason),
    ),
    states: statesOf(worker.core.nowMs),
    hits: Array.from({ length: RULE_COUNTERS }, (_, i) => worker.ruleCounters.hits(i)),
  };
}

/** Flags, TCP state and remaining time of every connection that the steps can have made. */
function statesOf(nowMs: number): string[] {
  const found: string[] = [];
  for (const [vni, port] of [5, 5, 5, 6, 6].map((vni, i) => [vni, i + 1] as const)) {
    for (const { ends: way } of WAYS) {
      if (way.from.includes(":")) continue;
      for (const protocol of [6, 17]) {
        for (const clientPort of [4000, 4001]) {
          const [a, b] = [parseAddress(way.from)![3], parseAddress(way.to)![3]];
          const isUp = a < b;
          const source = isUp ? clientPort : 80;
          connections.loadIpv4(vni, port, protocol, a, b, source, isUp ? 80 : clientPort);
          const entry = anyEntry(nowMs);
          if (entry === connections.NONE) continue;
          const seen = connections.hasFlag(entry, connections.REPLY_SEEN);
          const left = (connections.expires(entry) - nowMs) | 0;
          const what = `${vni}/${port} ${protocol} ${a}-${b}:${clientPort}`;
          const isBlocked = connections.hasFlag(entry, connections.BLOCKED);
          found.push(`${what} ${seen} ${isBlocked} ${connections.state(entry)} ${left}`);
        }
      }
    }
  }
  return found;
}

/** The entry of the loaded key in whichever bucket it is. */
function anyEntry(nowMs: number): number {
  for (const hash of hashes) {
    const entry = connections.find(hash, nowMs);
    if (entry !== connections.NONE) return entry;
  }
  return connections.NONE;
}

const hashes = collectHashes();

/** Every flow hash that the steps can have. */
function collectHashes(): readonly number[] {
  const found = new Set<number>();
  const worker = new TestWorker();
  worker.core.owners.fill(1); // Everything leaves at stage 1, with its hash.
  for (const [way, { device }] of WAYS.entries()) {
    for (const protocol of ["udp", "tcp"] as const) {
      for (const port of [4000, 4001]) {
        const step = { way, protocol, port, flags: tcp.SYN, ttl: 64, payload: 4 };
        const [frame] = framesOf({ ...step, wait: 0, isLast: true, tables: null });
        worker.send(frame!, device);
        const { workers } = worker.core.outlets;
        if (workers[1]!.count > 0) found.add(packet.flowHash(workers[1]!.slots[0]!));
        worker.toWorker(1);
      }
    }
  }
  return [...found];
}

test("the fast path and the stages give the same frames, counters, drops and connections", () => {
  fc.assert(
    fc.property(steps, (list) => {
      assert.deepEqual(run(list, true), run(list, false));
    }),
    { numRuns: 400 },
  );
});

test("they give the same under rules that come and go, and what the rules count", () => {
  fc.assert(
    fc.property(ruledSteps, (list) => {
      assert.deepEqual(run(list, true), run(list, false));
    }),
    { numRuns: 400 },
  );
});

test("flows of another worker are handed over as the stages do it", () => {
  fc.assert(
    fc.property(steps, fc.constantFrom(1, 4, 255), (list, foreign) => {
      assert.deepEqual(run(list, true, foreign), run(list, false, foreign));
    }),
    { numRuns: 400 },
  );
});

test("they give the same among so many connections that those of a batch are fetched first", () => {
  for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
    for (let i = 0; i < 33; i++) {
      connections.loadIpv4(99, 1, UDP, i, bucket, 1, 2);
      connections.insert((bucket << 24) | i, now);
    }
  }
  assert.ok(near.areMany(0));
  fc.assert(
    fc.property(ruledSteps, (list) => {
      assert.deepEqual(run(list, true), run(list, false));
    }),
    { numRuns: 200 },
  );
});

test("packets of a known flow do not walk, others do, and order within a flow is kept", () => {
  now += 100_000_000;
  const worker = new TestWorker();
  worker.core.nowMs = now;
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
  now += 100_000_000;
  const worker = new TestWorker();
  worker.core.nowMs = now;
  const { device, ends: way } = WAYS[0]!;
  const frame = udpFrame(way, 8, [5001, 9]);
  for (let i = 0; i < 3; i++) worker.send(frame, device);
  assert.equal(worker.walked, 1);
  worker.core.tables = buildTables(2);
  for (let i = 0; i < 3; i++) worker.send(frame, device);
  assert.equal(worker.walked, 2);
  assert.equal(worker.toDevice(2).length, 6);
});
