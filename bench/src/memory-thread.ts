/** One worker of memory-threads.ts: the thread's whole program. */
import { once } from "node:events";
import { GCProfiler, getHeapStatistics } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import { installPool } from "@rhone/rings/pool";
import { installConnections } from "@rhone/tables/connection-memory";
import type { Measured, Shared } from "./memory-threads.ts";

/** Turns of the loop between two looks at whether the others are measured. */
const REST_TURNS = 64;

const shared = workerData as Shared;
// Before the modules that keep views of this memory in constants.
installPool(shared.pool);
installConnections(shared.connections);
const { MemoryWorker } = await import("./memory-worker.ts");
const { span } = shared;
const unfinished = new Int32Array(shared.unfinished);
const worker = new MemoryWorker(shared);
parentPort!.postMessage("ready");
await once(parentPort!, "message");
worker.runFor(span.warmUpMs);
const profiler = new GCProfiler();
profiler.start();
const before = getHeapStatistics().total_allocated_bytes;
const { measured } = span;
const sent = "ms" in measured ? worker.runFor(measured.ms) : worker.runUntilSent(measured.packets);
const bytes = getHeapStatistics().total_allocated_bytes - before;
const collections = profiler.stop()!.statistics.length;
const { slotsLost } = worker;
Atomics.sub(unfinished, 0, 1);
while (Atomics.load(unfinished, 0) > 0) worker.turns(REST_TURNS);
parentPort!.postMessage({ sent, collections, bytes, slotsLost } satisfies Measured);
