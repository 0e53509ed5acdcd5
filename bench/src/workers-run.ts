/**
 * Workers of one chassis in memory, each a thread: prints thousands of packets a second that all of
 * them deliver together (memory-worker.ts).
 *
 *   WORKERS crossing   1 or 2; every packet belongs to the other one in some way
 *   WORKERS apart      each has its own packets
 */
import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { inlineMore } from "@rhone/dataplane-worker/inlining";
import { wantHugePages } from "@rhone/netio/huge-pages";
import { createPool, installPool, type Pool } from "@rhone/rings/pool";
import { ringWords } from "@rhone/rings/ring";
import { WORKER_STATUS_SIZE } from "@rhone/rings/worker-status";
import { createConnections, installConnections } from "@rhone/tables/connection-memory";
import { FRAGMENTS_SIZE } from "@rhone/tables/fragments";

const CONNECTIONS = 131_072;
const SLOTS = 512; // of each worker: fewer than a ring holds, so that none is ever full
const RING_CAPACITY = 4096;
const WARM_UP_MS = 1500;
const MEASURED_MS = 2000;

/** What the workers of a chassis share, as far as it is needed here. */
export interface Shared {
  readonly worker: number;
  readonly workers: number;
  readonly isApart: boolean;
  readonly pool: Pool;
  readonly connections: SharedArrayBuffer;
  readonly fragments: SharedArrayBuffer;
  /** `[from][to]`. */
  readonly rings: readonly (readonly SharedArrayBuffer[])[];
  readonly returns: readonly (readonly SharedArrayBuffer[])[];
  readonly statuses: readonly SharedArrayBuffer[];
}

async function measure(workers: number, isApart: boolean): Promise<number> {
  const numbers = Array.from({ length: workers }, (_, i) => i);
  const ring = () => new SharedArrayBuffer(ringWords(RING_CAPACITY) * 4);
  const shared: Omit<Shared, "worker"> = {
    ...{ workers, isApart },
    pool: createPool({ smallCount: SLOTS * workers, largeCount: workers }),
    connections: createConnections(CONNECTIONS),
    fragments: new SharedArrayBuffer(FRAGMENTS_SIZE),
    rings: numbers.map(() => numbers.map(ring)),
    returns: numbers.map(() => numbers.map(ring)),
    statuses: numbers.map(() => new SharedArrayBuffer(WORKER_STATUS_SIZE)),
  };
  wantHugePages(shared.connections);
  const threads = numbers.map(
    (worker) => new Worker(new URL(import.meta.url), { workerData: { ...shared, worker } }),
  );
  await Promise.all(threads.map((thread) => once(thread, "message")));
  for (const thread of threads) thread.postMessage("go");
  const counts = await Promise.all(threads.map((thread) => once(thread, "message")));
  const delivered = counts.reduce((sum, [count]) => sum + (count as number), 0);
  for (const thread of threads) await thread.terminate();
  return delivered / MEASURED_MS;
}

async function work(shared: Shared): Promise<void> {
  // Before the modules that keep views of this memory in constants.
  installPool(shared.pool);
  installConnections(shared.connections);
  const { MemoryWorker } = await import("./memory-worker.ts");
  const worker = new MemoryWorker(shared);
  parentPort!.postMessage("ready");
  await once(parentPort!, "message");
  worker.runFor(WARM_UP_MS);
  parentPort!.postMessage(worker.runFor(MEASURED_MS));
  // The other one's packets still need us, if it is late.
  worker.runFor(WARM_UP_MS);
}

inlineMore();
if (isMainThread) {
  const [workers, how] = process.argv.slice(2);
  process.stdout.write(`${(await measure(Number(workers), how === "apart")).toFixed(1)}\n`);
} else {
  await work(workerData as Shared);
}
