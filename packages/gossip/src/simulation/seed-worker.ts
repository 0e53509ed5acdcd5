/** A thread of `npm run sim`: runs the seeds that it is given. */
import { parentPort } from "node:worker_threads";
import { type RunOptions, runSeed } from "./run.ts";

parentPort!.on("message", async (options: RunOptions) => {
  parentPort!.postMessage(await runSeed(options));
});
