/**
 * Workers of one chassis in memory, each a thread (memory-threads.ts).
 *
 *   WORKERS apart|half|crossing           thousands of packets a second that all of them deliver
 *   WORKERS apart|half|crossing PACKETS   garbage collections, bytes allocated and slots lost while
 *                                         each delivers so many
 */
import { inlineMore } from "@rhone/dataplane-worker/inlining";
import { type Crossing, type Measured, measureThreads } from "./memory-threads.ts";

const WARM_UP_MS = 1500;
const MEASURED_MS = 2000;
/** Until nothing is compiled any more. */
const LONG_WARM_UP_MS = 6000;

const [workers, crossing, packets] = process.argv.slice(2);
inlineMore();
if (packets === undefined) {
  const span = { warmUpMs: WARM_UP_MS, measured: { ms: MEASURED_MS } };
  const sent = sum(await measureThreads(Number(workers), crossing as Crossing, span), "sent");
  process.stdout.write(`${(sent / MEASURED_MS).toFixed(1)}\n`);
} else {
  const span = { warmUpMs: LONG_WARM_UP_MS, measured: { packets: Number(packets) } };
  const all = await measureThreads(Number(workers), crossing as Crossing, span);
  const figures = (["collections", "bytes", "slotsLost"] as const).map((name) => sum(all, name));
  process.stdout.write(`${figures.join(" ")}\n`);
}

function sum(all: readonly Measured[], figure: keyof Measured): number {
  return all.reduce((total, each) => total + each[figure], 0);
}
