/**
 * For tests, loaded into a chassis by NODE_OPTIONS: SIGUSR2 ends the data-plane worker that was
 * started last, in the middle of whatever it does, as if it had run out of memory. SIGPWR makes it
 * hang: each reads the clock once a loop, and does not come back from there.
 *
 *   word 0      thread that hangs, or NOBODY
 *   word 1 …    by thread: 1 when its loop runs; the pool has threads to spare
 */
import { setFlagsFromString } from "node:v8";
import type { Worker } from "node:worker_threads";
import {
  getEnvironmentData,
  isMainThread,
  setEnvironmentData,
  threadId,
} from "node:worker_threads";

/** The longest compilation of a function, on a busy machine. */
const COMPILING_MS = 300;
const KEY = "rhone-test-worker-killer";
const HANGING = 0;
const NOBODY = 0;
const THREADS_MAX = 1023;

if (isMainThread) {
  const words = new Int32Array(new SharedArrayBuffer((1 + THREADS_MAX) * 4));
  setEnvironmentData(KEY, words);
  const workers: Worker[] = [];
  process.on("worker", (worker: Worker) => {
    workers.push(worker);
    worker.once("exit", () => workers.splice(workers.indexOf(worker), 1));
  });
  const isWorking = ({ threadId }: Worker) => threadId > 0 && Atomics.load(words, threadId) === 1;
  process.on("SIGUSR2", () => {
    // A compilation that is under way would take the process with it (netio/native-node.ts).
    setFlagsFromString("--no-turbo-fast-api-calls");
    setTimeout(async () => {
      await workers.findLast(isWorking)?.terminate();
      setFlagsFromString("--turbo-fast-api-calls");
    }, COMPILING_MS);
  });
  process.on("SIGPWR", () => {
    Atomics.store(words, HANGING, workers.findLast(isWorking)?.threadId ?? NOBODY);
  });
} else {
  const words = getEnvironmentData(KEY) as Int32Array;
  const now = performance.now.bind(performance);
  performance.now = () => {
    words[threadId] = 1;
    while (Atomics.load(words, HANGING) === threadId);
    return now();
  };
}
