/**
 * Workers of one chassis in memory, each a thread (memory-thread.ts): they warm up, are measured,
 * and go on until all of them have been, since each needs the others.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { wantHugePages } from "@rhone/netio/huge-pages";
import { createPool, type Pool } from "@rhone/rings/pool";
import { ringWords } from "@rhone/rings/ring";
import { WORKER_STATUS_SIZE } from "@rhone/rings/worker-status";
import { createConnections } from "@rhone/tables/connection-memory";
import { FRAGMENTS_SIZE } from "@rhone/tables/fragments";

const CONNECTIONS = 131_072;
/** Of each worker: fewer than a ring holds, so that none is ever full. */
const SLOTS = 512;
const RING_CAPACITY = 4096;

/**
 * How many of two workers' packets go through a ring: none, as each has ports and flows for itself;
 * half, as any of them owns a flow; or each once, as its flow or its port is the other one's.
 */
export type Crossing = "apart" | "half" | "crossing";

/** What the workers of a chassis share, as far as it is needed here. */
export interface Shared {
  readonly worker: number;
  readonly workers: number;
  readonly crossing: Crossing;
  readonly pool: Pool;
  readonly connections: SharedArrayBuffer;
  readonly fragments: SharedArrayBuffer;
  /** `[from][to]`. */
  readonly rings: readonly (readonly SharedArrayBuffer[])[];
  readonly returns: readonly (readonly SharedArrayBuffer[])[];
  readonly statuses: readonly SharedArrayBuffer[];
  readonly span: Span;
  /** One word: how many workers are not measured yet. */
  readonly unfinished: SharedArrayBuffer;
}

/** Milliseconds before what is measured, and how long that is: in time, or in packets of each. */
export interface Span {
  readonly warmUpMs: number;
  readonly measured: { readonly ms: number } | { readonly packets: number };
}

/** Of one worker. */
export interface Measured {
  /** Packets that left by its ports. */
  readonly sent: number;
  /** Garbage collections of its heap, of any kind, and bytes that were allocated there. */
  readonly collections: number;
  readonly bytes: number;
  /** Slots that it should have and has not. */
  readonly slotsLost: number;
}

export async function measureThreads(
  workers: number,
  crossing: Crossing,
  span: Span,
): Promise<Measured[]> {
  const numbers = Array.from({ length: workers }, (_, i) => i);
  const ring = () => new SharedArrayBuffer(ringWords(RING_CAPACITY) * 4);
  const shared: Omit<Shared, "worker"> = {
    ...{ workers, crossing, span },
    pool: createPool({ smallCount: SLOTS * workers, largeCount: workers }),
    connections: createConnections(CONNECTIONS),
    fragments: new SharedArrayBuffer(FRAGMENTS_SIZE),
    rings: numbers.map(() => numbers.map(ring)),
    returns: numbers.map(() => numbers.map(ring)),
    statuses: numbers.map(() => new SharedArrayBuffer(WORKER_STATUS_SIZE)),
    unfinished: new SharedArrayBuffer(4),
  };
  new Int32Array(shared.unfinished)[0] = workers;
  wantHugePages(shared.connections);
  const script = new URL("./memory-thread.ts", import.meta.url);
  const threads = numbers.map(
    (worker) => new Worker(script, { workerData: { ...shared, worker } }),
  );
  try {
    await Promise.all(threads.map((thread) => once(thread, "message")));
    for (const thread of threads) thread.postMessage("go");
    const said = await Promise.all(threads.map((thread) => once(thread, "message")));
    return said.map(([measured]) => measured as Measured);
  } finally {
    for (const thread of threads) await thread.terminate();
  }
}
