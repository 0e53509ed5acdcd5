/**
 * A program of its own, so that each measurement starts fresh: packets through the whole pipeline
 * in memory, without ports. Prints one figure, nanoseconds a packet.
 *
 *   known FLOWS fast|stages [RULES [ROUTES]]   packets of flows that have been seen
 *   first FLOWS fast|stages [RULES [ROUTES]]   first packets of flows
 *   balanced FLOWS fast|stages [RULES]         as known, to a VIP, and its backend's answers
 *   build 0 - RULES ROUTES                     instead: milliseconds to build tables, MiB of them
 *
 * RULES are looked at before a packet passes; with ROUTES, packets go to 4,096 networks behind vm4,
 * and as many routes lead to them.
 */
import { inlineMore } from "@rhone/dataplane-worker/inlining";
import { wantHugePages } from "@rhone/netio/huge-pages";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { createConnections, installConnections } from "@rhone/tables/connection-memory";

const BATCH = 64;
const HEADER_SIZE = 42;
const FRAME_SIZE = 60;
const VM1_DEVICE = 0;
const VM4_DEVICE = 2;
const WARM_UP = 400_000;
/** Routes over which destinations are spread at least, whatever leads to them. */
const SPREAD = 500_000;

const [what, first, second, ...counts] = process.argv.slice(2);
const flowCount = Number(first);
const [ruleCount = 10, routeCount = 0] = counts.map(Number);
inlineMore();
const isBalanced = what === "balanced";
// Each flow has two of them, a balanced one three.
const memory = createConnections(flowCount > 20_000 ? 4_194_304 : 65_536);
wantHugePages(memory); // As a chassis does.
installConnections(memory);
const { buildTables, TestWorker, VM4 } = await import("@rhone/pipeline-stages/test-network");
const network = await import("./memory-network.ts");

const rules = network.rulesBefore(ruleCount);
const routes = routeCount === 0 ? [] : network.routesBehindVm4(routeCount);
const builtAtMs = performance.now();
const vips = isBalanced ? network.VIPS : [];
const tables = buildTables(1, rules, null, new Map(), routes, [VM4], vips);
if (what === "build") {
  const size = tables.size / 2 ** 20;
  process.stdout.write(`${(performance.now() - builtAtMs).toFixed(0)} ${size.toFixed(1)}\n`);
  process.exit(0);
}
const worker = new TestWorker(0, tables);
worker.isFast = second === "fast";
const questions = headersOf(questionOf);
const answers = isBalanced ? headersOf((flow) => network.balancedFrame(flow, true)) : questions;
const { bytes } = poolViews();
const arrivals = worker.arrivals.stages[0]!;
const { devices } = worker.core.outlets;
const slots = Array.from({ length: BATCH }, () => worker.receive(network.frameOf(0), 0));
const frameAts = slots.map((slot) => packet.frameAt(slot));
let next = 0;
let spentMs = 0;

function questionOf(flow: number): Uint8Array {
  if (isBalanced) return network.balancedFrame(flow, false);
  if (routeCount === 0) return network.frameOf(flow);
  const destination = network.addressBehindVm4(flow, Math.max(routeCount, SPREAD));
  return network.frameOf(flow, destination);
}

function headersOf(frame: (flow: number) => Uint8Array): Uint8Array {
  const headers = new Uint8Array(flowCount * HEADER_SIZE);
  for (let flow = 0; flow < flowCount; flow++) {
    headers.set(frame(flow).subarray(0, HEADER_SIZE), flow * HEADER_SIZE);
  }
  return headers;
}

/**
 * Runs packets of flows in an order that no cache foresees; only the pipeline's time counts. The
 * backend of balanced flows answers batch by batch.
 */
function run(packets: number, isNewEach: boolean): void {
  for (let sent = 0; sent < packets; sent += BATCH) {
    const begin = next;
    runBatch(questions, VM1_DEVICE, VM4_DEVICE, isNewEach);
    if (!isBalanced) continue;
    next = begin;
    runBatch(answers, VM4_DEVICE, VM1_DEVICE, isNewEach);
    sent += BATCH;
  }
}

function runBatch(headers: Uint8Array, inDevice: number, outDevice: number, isNew: boolean): void {
  for (let i = 0; i < BATCH; i++) {
    const from = next * HEADER_SIZE;
    const to = frameAts[i]!;
    for (let k = 0; k < HEADER_SIZE; k++) bytes[to + k] = headers[from + k]!;
    next = (next + 7919) % flowCount;
    packet.begin(slots[i]!, frameAts[i]!, FRAME_SIZE, inDevice);
    arrivals.add(slots[i]!);
  }
  // All that was known has run out.
  if (isNew) worker.core.nowMs = (worker.core.nowMs + 1_000_000) | 0;
  const startMs = performance.now();
  worker.run();
  spentMs += performance.now() - startMs;
  const out = devices[outDevice]!;
  if (out.count !== BATCH) throw new Error(`lost ${BATCH - out.count} packets`);
  out.count = 0;
}

const isNewEach = what === "first";
run(Math.max(WARM_UP, flowCount * 4), isNewEach);
spentMs = 0;
const packets = isNewEach ? 200_000 : 2_000_000;
run(packets, isNewEach);
process.stdout.write(`${((spentMs / packets) * 1e6).toFixed(1)}\n`);
