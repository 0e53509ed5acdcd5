/** A thread with a simulated cluster, which may use more memory than a process has by itself. */
import { parentPort, workerData } from "node:worker_threads";
import { MeasuredCluster, type MeasuredOptions } from "@rhone/gossip/measured-cluster";

/** How many writes, and milliseconds between two. */
export type Wish = readonly [count: number, pauseMs: number];

const cluster = await MeasuredCluster.start(workerData as MeasuredOptions);
parentPort!.on("message", async ([count, pauseMs]: Wish) => {
  parentPort!.postMessage(await cluster.writes(count, pauseMs));
});
parentPort!.postMessage("started");
