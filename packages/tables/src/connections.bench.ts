/**
 * What connections.ts takes for a look-up, a segment and a new connection in a full bucket, as a
 * ratio to the plain twin, for tables in and out of the cache. Not part of the tests:
 *
 *   node packages/tables/src/connections.bench.ts
 *
 * A thread has one table, so each size runs in a thread of its own.
 */
import { once } from "node:events";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { poolViews } from "@rhone/rings/pool";
import * as ipv4 from "@rhone/wire/ipv4";
import * as tcp from "@rhone/wire/tcp";
import { createConnections, installConnections } from "./connection-memory.ts";
import { GoldenConnections, type GoldenKey } from "./connections.golden.ts";

const SIZES = [1_000, 100_000, 1_000_000];
const ROUNDS = 9;
const CALLS = 200_000; // of one round
/** Buckets fill unevenly: room for the fullest of them. */
const ROOM = 1.3;
const ROOM_MIN = 16_384;
const VNI = 7;
const PORT = 3;
const SERVER = 0x0a00_0001;
const LIFETIME_MS = 86_400_000;
/** Where the segment lies in the packet pool. */
const SEGMENT_AT = 4096;

if (isMainThread) {
  for (const size of SIZES) {
    await once(new Worker(new URL(import.meta.url), { workerData: size }), "exit");
  }
} else {
  await run(Number(workerData));
}

async function run(count: number): Promise<void> {
  installConnections(createConnections(Math.max(ROOM_MIN, Math.ceil(count * ROOM))));
  const connections = await import("./connections.ts");
  const tracker = await import("./tcp-tracker.ts");
  const golden = new GoldenConnections(Number.POSITIVE_INFINITY);
  const load = (flow: number): number => {
    connections.loadIpv4(VNI, PORT, ipv4.PROTOCOL_TCP, 0x0b00_0000 + flow, SERVER, 1000, 80);
    return hashOf(flow);
  };
  writeSegment();
  for (let flow = 0; flow < count; flow++) {
    const entry = connections.insert(load(flow), 0);
    connections.setExpires(entry, LIFETIME_MS);
    tracker.read(SEGMENT_AT, 0);
    tracker.track(entry, false);
    tracker.track(entry, true);
    connections.setFlag(entry, connections.REPLY_SEEN);
    golden.insert(goldenKey(flow), LIFETIME_MS);
  }
  let found = 0;
  const baseline = measure((i) => {
    if (golden.find(goldenKey(scattered(i, count)), 1) !== undefined) found++;
  });
  const report = (what: string, rounds: readonly number[]): void => {
    const [least, median, most] = [rounds[0]!, rounds[ROUNDS >> 1]!, rounds.at(-1)!];
    const ratio = (median / baseline[ROUNDS >> 1]!).toFixed(3);
    const spread = `${least.toFixed(0)}–${most.toFixed(0)}`;
    console.log(`${count} ${what}: ${ratio} × the twin, ${median.toFixed(0)} ns (${spread})`);
  };
  report("the twin found", baseline);
  const find = (flow: number): number => connections.find(load(flow), 1);
  report(
    "found",
    measure((i) => {
      if (find(scattered(i, count)) !== connections.NONE) found++;
    }),
  );
  report(
    "absent",
    measure((i) => {
      if (find(count + scattered(i, count)) !== connections.NONE) found++;
    }),
  );
  report(
    "found, and a segment taken in",
    measure((i) => {
      const entry = find(scattered(i, count));
      tracker.read(SEGMENT_AT, 0);
      if (tracker.trackSteady(entry, connections.isReply(entry))) found++;
    }),
  );
  report(
    "made, the oldest without a reply gives way",
    measure((i) => {
      const entry = connections.insert(load(count + i), 1);
      if (entry !== connections.NONE) connections.setExpires(entry, LIFETIME_MS);
    }),
  );
  if (found === 0) throw new Error("expected connections to be found");
}

function goldenKey(flow: number): GoldenKey {
  const source = `${0x0b00_0000 + flow}:1000`;
  const zone = `${VNI}/${PORT}`;
  const destination = `${SERVER}:80`;
  return { zone, bucket: 0, protocol: ipv4.PROTOCOL_TCP, source, destination };
}

/** An acknowledgment without data that every connection may carry any number of times. */
function writeSegment(): void {
  const { view } = poolViews();
  view.setUint8(SEGMENT_AT + 12, 5 << 4);
  tcp.setFlags(view, SEGMENT_AT, tcp.ACK);
}

/** A flow of `count`, in an order that memory does not have. */
function scattered(i: number, count: number): number {
  return (Math.imul(i, 0x9e37_79b1) >>> 0) % count;
}

function hashOf(flow: number): number {
  let hash = Math.imul(flow ^ (flow >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return hash ^ (hash >>> 16);
}

/** Nanoseconds of a call in each round, least first. */
function measure(call: (i: number) => void): number[] {
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    for (let i = 0; i < CALLS; i++) call(round * CALLS + i);
    rounds.push(((performance.now() - start) * 1e6) / CALLS);
  }
  return rounds.sort((a, b) => a - b);
}
