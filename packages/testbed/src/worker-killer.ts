/**
 * For tests, loaded into a chassis by NODE_OPTIONS: SIGUSR2 ends the data-plane worker that was
 * started last, in the middle of whatever it does, as if it had run out of memory. SIGPWR makes one
 * hang: each reads the clock once a loop, and the first that does so then never comes back.
 */
import type { Worker } from "node:worker_threads";
import {
  getEnvironmentData,
  isMainThread,
  setEnvironmentData,
  threadId,
} from "node:worker_threads";

const KEY = "rhone-test-hanging-thread";
const NOBODY = 0;
const ANYBODY = -1;

if (isMainThread) {
  const workers: Worker[] = [];
  process.on("worker", (worker: Worker) => {
    workers.push(worker);
    worker.once("exit", () => workers.splice(workers.indexOf(worker), 1));
  });
  process.on("SIGUSR2", () => void workers.at(-1)?.terminate());
  const hanging = new Int32Array(new SharedArrayBuffer(4));
  setEnvironmentData(KEY, hanging);
  process.on("SIGPWR", () => Atomics.store(hanging, 0, ANYBODY));
} else {
  const hanging = getEnvironmentData(KEY) as Int32Array;
  const now = performance.now.bind(performance);
  performance.now = () => {
    if (Atomics.load(hanging, 0) !== NOBODY) Atomics.compareExchange(hanging, 0, ANYBODY, threadId);
    while (Atomics.load(hanging, 0) === threadId);
    return now();
  };
}
