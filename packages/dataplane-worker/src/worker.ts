/**
 * The thread of one data-plane worker: piscina calls the default export once, with the plan, and it
 * returns when the worker is told to stop.
 */
import { installPool } from "@rhone/rings/pool";
import { installConnections } from "@rhone/tables/connection-memory";
import type { WorkerPlan } from "./plan.ts";

export default async function run(plan: WorkerPlan): Promise<void> {
  // The modules of the data plane keep views of this memory in constants, so it must stand before
  // them.
  installPool(plan.pool);
  installConnections(plan.connections);
  const { Actor } = await import("./actor.ts");
  new Actor(plan).run();
}
