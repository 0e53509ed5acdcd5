/**
 * Random packets through two workers of the small network, by the fast path or by the stages alone,
 * and all that can be seen of what they did.
 */
import assert from "node:assert/strict";
import { BUCKET_COUNT } from "@rhone/rings/buckets";
import { DROP_REASON_COUNT } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { POST_ROUTING, PRE_ACL } from "@rhone/rings/stage";
import { type Connection, listConnections } from "@rhone/tables/connection-list";
import * as connections from "@rhone/tables/connections";
import type { Tables } from "@rhone/tables/generation";
import { parseAddress } from "@rhone/wire/address";
import * as tcp from "@rhone/wire/tcp";
import { DELIVERY, sendOff } from "../src/output.ts";
import { GOES_ON, parse } from "../src/parse.ts";
import { STAGES } from "../src/pipeline.ts";
import { type Ends, fragmentsOf, tcpFrame, udpFrame } from "./frames.ts";
import { ROUTER_WEB, TestWorker, VM1 } from "./network.ts";
import { assertInOrder, number } from "./numbered-frames.ts";

const RULE_COUNTERS = 8;
const DEVICES = [0, 1, 2];
const SERVER = 80;
const ENTRIES_MAX = 65_536; // Of a bucket.

/** How packets of one direction of a flow come. */
export interface Way {
  /** -1: by the tunnel, for vm1 at stage 8. */
  readonly device: number;
  readonly ends: Ends;
  /** The port of the end with the higher address; 80 unless said. */
  readonly server?: number;
}

export interface Step {
  readonly way: number;
  readonly protocol: "udp" | "tcp" | "fragments";
  readonly flags: number;
  readonly ttl: number;
  readonly payload: number;
  readonly port: number;
  readonly wait: number;
  readonly isLast: boolean;
  /** Number of the tables of what comes behind the step; null leaves them. */
  readonly tables: number | null;
}

export interface Outcome {
  readonly frames: readonly (readonly string[])[];
  /** By worker. */
  readonly stages: readonly (readonly number[])[];
  readonly drops: readonly (readonly number[])[];
  readonly hits: readonly (readonly number[])[];
  readonly states: readonly string[];
}

/** Two workers of the chassis that know no connection; a worker owns the buckets of its map. */
export class TestWorkers {
  static #now = 1;
  readonly all: readonly [TestWorker, TestWorker];

  /** Buckets whose number has a bit of `foreign` belong to the second worker. */
  constructor(tables: Tables, foreign: number) {
    // What the case before left has run out.
    TestWorkers.#now = (TestWorkers.#now + 100_000_000) | 0;
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
      connections.sweep(bucket, ENTRIES_MAX, TestWorkers.#now);
    }
    this.all = [new TestWorker(0, tables), new TestWorker(1, tables)];
    for (const { core } of this.all) {
      core.nowMs = TestWorkers.#now;
      for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
        core.owners[bucket] = (bucket & foreign) === 0 ? 0 : 1;
      }
    }
  }

  /** Packets so far that the fast path left to the stages. */
  get walked(): number {
    return this.all[0].walked + this.all[1].walked;
  }

  set isFast(value: boolean) {
    for (const worker of this.all) worker.isFast = value;
  }

  set tables(tables: Tables) {
    for (const { core } of this.all) core.tables = tables;
  }

  pass(ms: number): void {
    TestWorkers.#now = (TestWorkers.#now + ms) | 0;
    for (const { core } of this.all) core.nowMs = TestWorkers.#now;
  }

  get nowMs(): number {
    return TestWorkers.#now;
  }

  /** Lines a frame up as it comes by this way. */
  add(frame: Uint8Array, device: number): void {
    const worker = this.all[device === 1 ? 1 : 0];
    const slot = worker.receive(frame, device);
    if (device >= 0) {
      worker.arrivals.stages[0]!.add(slot);
      return;
    }
    assert.equal(parse(slot), GOES_ON);
    packet.setDatapath(slot, 0);
    packet.setInPort(slot, ROUTER_WEB);
    packet.setOutPort(slot, VM1);
    packet.setStage(slot, POST_ROUTING);
    packet.setFlags(slot, packet.flags(slot) | packet.FLAG_FROM_TUNNEL);
    worker.arrivals.stages[POST_ROUTING]!.add(slot);
  }

  /** Runs both, and hands packets over between them, until all are at a device or the tunnel. */
  run(): void {
    do {
      for (const worker of this.all) worker.run();
    } while (this.#handOver());
  }

  #handOver(): boolean {
    let isAny = false;
    for (const from of this.all) {
      for (const to of this.all) {
        const batch = from.core.outlets.workers[to.core.worker]!;
        for (let i = 0; i < batch.count; i++) resume(to, batch.slots[i]!);
        isAny ||= batch.count > 0;
        batch.count = 0;
      }
    }
    return isAny;
  }

  /** What has left by each device and by the tunnel. */
  take(): Uint8Array[][] {
    const lists = [...DEVICES, -1].map((device) =>
      this.all.flatMap((worker) => (device < 0 ? worker.toChassis() : worker.toDevice(device))),
    );
    for (const list of lists) assertInOrder(list);
    return lists;
  }
}

/** As the hand-off does it between workers of the same tables. */
function resume(worker: TestWorker, slot: number): void {
  const stage = packet.stage(slot);
  if (stage === DELIVERY) {
    sendOff(worker.core, slot, packet.device(slot));
    return;
  }
  packet.setEntry(slot, -1);
  packet.setEnteredBy(slot, stage === PRE_ACL ? packet.inPort(slot) : packet.NO_PORT);
  worker.arrivals.stages[stage]!.add(slot);
}

/** The frames of a step; the numbers of TCP are always inside of the windows. */
export function framesOf(step: Step, { ends, server = SERVER }: Way): Uint8Array[] {
  const { ttl, payload, port, flags } = step;
  const way = { ...ends, ttl };
  const ports: [number, number] = isUp(ends) ? [port, server] : [server, port];
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

/** Whether packets go from the lower address to the higher one. */
function isUp({ from, to }: Ends): boolean {
  const [a, b] = [parseAddress(from)!, parseAddress(to)!];
  const i = a.findIndex((word, i) => word !== b[i]);
  return i >= 0 && a[i]! < b[i]!;
}

/**
 * Runs the steps. Batches end where a step says so, and where directions or TCP's state change.
 * `prepare` gets the time when they begin.
 */
export function run(
  list: readonly Step[],
  ways: readonly Way[],
  tables: readonly Tables[],
  isFast: boolean,
  foreign = 0,
  prepare: (nowMs: number) => void = () => {},
): Outcome {
  const workers = new TestWorkers(tables[0]!, foreign);
  prepare(workers.nowMs);
  workers.isFast = isFast;
  const free = workers.all[0].freeSlots();
  const frames: string[][] = [[], [], [], []];
  const flush = (): void => {
    workers.run();
    for (const [i, list] of workers.take().entries()) {
      frames[i]!.push(...list.map((frame) => Buffer.from(frame).toString("hex")));
    }
  };
  let isUpBefore = false;
  let isSteadyBefore = true;
  let sent = 0;
  for (const step of list) {
    const way = ways[step.way]!;
    // In one batch the stages judge all packets by what was before the first; the fast path has
    // taken some of them in by then. That shows where directions meet, or TCP's state changes.
    const isSteady = step.protocol !== "tcp" || (step.flags & ~tcp.PSH) === tcp.ACK;
    if (isUp(way.ends) !== isUpBefore || !isSteady || !isSteadyBefore) flush();
    isUpBefore = isUp(way.ends);
    isSteadyBefore = isSteady;
    for (const frame of framesOf(step, way)) {
      number(frame, ++sent, step.way);
      workers.add(frame, way.device);
    }
    if (step.isLast) {
      flush();
      workers.pass(step.wait);
      if (step.tables !== null) workers.tables = tables[step.tables]!;
    }
  }
  flush();
  assert.equal(workers.all[0].freeSlots(), free);
  const ofEach = (count: number, of: (worker: TestWorker, i: number) => number) =>
    workers.all.map((worker) => Array.from({ length: count }, (_, i) => of(worker, i)));
  return {
    frames: frames.map((list) => list.toSorted()), // Across flows the order is free.
    stages: ofEach(STAGES.length, ({ counters }, stage) => counters.stage(stage).packets),
    drops: ofEach(DROP_REASON_COUNT, ({ counters }, reason) => counters.dropped(reason)),
    hits: ofEach(RULE_COUNTERS, ({ ruleCounters }, i) => ruleCounters.hits(i)),
    states: listConnections()
      .filter(({ expires }) => ((expires - workers.nowMs) | 0) > 0)
      .map((each) => stateOf(each, workers.nowMs))
      .sort(),
  };
}

function stateOf({ expires, ...rest }: Connection, nowMs: number): string {
  return JSON.stringify({ ...rest, leftMs: (expires - nowMs) | 0 });
}
