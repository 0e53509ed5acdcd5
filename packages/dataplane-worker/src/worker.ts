/**
 * The thread of one data-plane worker: piscina calls the default export once, with the plan. It
 * never returns, because the thread is good for one life only: its modules keep views of the
 * memory, and what an error has left behind nobody knows. The control thread ends it when it hears
 * so.
 */
import { prepareThreadEnd } from "@rhone/netio/thread-end";
import { installPool } from "@rhone/rings/pool";
import { installConnections } from "@rhone/tables/connection-memory";
import { inlineMore } from "./inlining.ts";
import type { Report, WorkerPlan } from "./plan.ts";

export default async function run(plan: WorkerPlan): Promise<void> {
  const error = await live(plan);
  prepareThreadEnd();
  plan.mailbox.postMessage({ type: "ended", error } satisfies Report);
  await new Promise(() => {});
}

/** Resolves to why the worker ended: null when it was told to. */
async function live(plan: WorkerPlan): Promise<Error | null> {
  try {
    inlineMore();
    // The modules of the data plane keep views of this memory in constants, so it must stand before
    // them.
    installPool(plan.pool);
    installConnections(plan.connections);
    const { Actor } = await import("./actor.ts");
    new Actor(plan).run();
    return null;
  } catch (error) {
    return error as Error;
  }
}
