/** Two threads and a ring: prints nanoseconds a slot at batches of 32. */
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { RingConsumer, RingProducer, ringWords } from "@rhone/rings/ring";

const CAPACITY = 4096;
const BATCH = 32;
const WARM_UP = 2_000_000;
const SLOTS = 20_000_000;

if (isMainThread) {
  const memory = new SharedArrayBuffer(ringWords(CAPACITY) * 4);
  const worker = new Worker(new URL(import.meta.url), { workerData: memory });
  const ring = new RingProducer(new Int32Array(memory));
  const slots = Int32Array.from({ length: BATCH }, (_, i) => i);
  await new Promise((resolve) => worker.once("message", resolve));
  for (let pushed = 0; pushed < WARM_UP + SLOTS; ) pushed += ring.push(slots, 0, BATCH);
} else {
  const { parentPort } = await import("node:worker_threads");
  const ring = new RingConsumer(new Int32Array(workerData as SharedArrayBuffer));
  const slots = new Int32Array(BATCH);
  parentPort!.postMessage("ready");
  let popped = 0;
  while (popped < WARM_UP) popped += ring.pop(slots, BATCH);
  const first = popped;
  const startMs = performance.now();
  while (popped < WARM_UP + SLOTS) popped += ring.pop(slots, BATCH);
  const ns = ((performance.now() - startMs) * 1e6) / (popped - first);
  process.stdout.write(`${ns.toFixed(2)}\n`);
}
