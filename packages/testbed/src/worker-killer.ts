/**
 * For tests, loaded into a chassis by NODE_OPTIONS: SIGUSR2 ends the data-plane worker that was
 * started last, in the middle of whatever it does, as if it had run out of memory.
 */
import type { Worker } from "node:worker_threads";
import { isMainThread } from "node:worker_threads";

if (isMainThread) {
  const workers: Worker[] = [];
  process.on("worker", (worker: Worker) => {
    workers.push(worker);
    worker.once("exit", () => workers.splice(workers.indexOf(worker), 1));
  });
  process.on("SIGUSR2", () => void workers.at(-1)?.terminate());
}
