/** Rows 1 to 6: parts of a chassis, or all of it, end or hang. */
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { HealthView, WorkersView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { runOrThrow } from "@rhone/cli/run";
import { runtimeCommand } from "@rhone/cli/runtime";
import { until } from "../until.ts";
import { serverWorks } from "./nats-servers.ts";
import { memberOf } from "./partition.ts";
import { CHASSIS, type Rig } from "./rig.ts";
import type { Fault } from "./run-fault.ts";
import { missingAt } from "./writer.ts";

const QUIET_MS = 2000;
const HANG_MS = 5000;
const STOPPED_MS = 4000;

/** What everything below is to be compared with. */
const nothing: Fault = {
  ...{ row: 0, name: "none", mayLose: false, writeTo: ["a", "c"] },
  inflict: async () => {
    await sleep(QUIET_MS);
    return "";
  },
};

const workerDies: Fault = {
  ...{ row: 1, name: "a worker thread of a ends", mayLose: true, writeTo: ["a", "c"] },
  obstacle: ({ runtime }) => {
    return runtime === "node" ? "" : "threads are ended by a module that Node alone preloads";
  },
  inflict: async ({ fixture }) => {
    const chassis = fixture.chassis("a");
    const startMs = performance.now();
    chassis.kill("SIGUSR2");
    await until("a worker is missed", async () => {
      const { body } = await chassis.client.request("GET", "/healthz");
      return !(body as HealthView).checks.find(({ name }) => name === "workers")!.ok;
    });
    await until("all workers are back", async () => {
      const view = await chassis.client.get<WorkersView>("/v1/workers");
      return view.settled && view.workers.filter(({ state }) => state === "running").length === 2;
    });
    return `replaced after ${Math.round(performance.now() - startMs)} ms`;
  },
};

const controlHangs: Fault = {
  ...{ row: 2, name: "the control thread of b hangs for 5 s", mayLose: false },
  writeTo: ["a", "c"],
  obstacle: ({ runtime }) => {
    return runtime === "node" ? "" : "Deno's inspector cannot be opened in a running process";
  },
  inflict: async ({ fixture }) => {
    const { namespace, pid } = fixture.chassis("b");
    const tool = fileURLToPath(import.meta.resolve("./hang-tool.ts"));
    const command = [...runtimeCommand("node"), tool, String(pid), String(HANG_MS)];
    await runOrThrow(["ip", "netns", "exec", namespace, ...command]);
    const { status } = await memberOf(fixture.chassis("a"), "b");
    return `to a it is ${status} then`;
  },
};

const chassisDies: Fault = {
  ...{ row: 3, name: "kill -9 chassis c, which starts again", mayLose: true, writeTo: ["a", "c"] },
  inflict: async ({ fixture }) => {
    const tookMs = await fixture.crash("c");
    return `healthy after ${Math.round(tookMs)} ms`;
  },
};

const serverDies: Fault = {
  ...{ row: 4, name: "kill -9 nats-server of b", mayLose: false, writeTo: ["a", "b"] },
  inflict: async ({ fixture, servers }) => {
    const chassis = fixture.chassis("b");
    const pid = await servers.signal(chassis, "SIGKILL");
    const tookMs = await until("b has another nats-server", async () => {
      return (await servers.pidOf(chassis)) !== pid && (await serverWorks(chassis));
    });
    return `another one after ${Math.round(tookMs)} ms`;
  },
};

const serverHangs: Fault = {
  ...{ row: 5, name: "SIGSTOP nats-server of b", mayLose: false, writeTo: ["a", "b"] },
  inflict: async ({ fixture, servers }) => {
    const chassis = fixture.chassis("b");
    await servers.signal(chassis, "SIGSTOP");
    const limitMs = STOPPED_MS * 5;
    const isMissed = async () => !(await serverWorks(chassis));
    const noticedMs = await until("b misses its nats-server", isMissed, limitMs);
    const tookMs = await until("b has another one", () => serverWorks(chassis), limitMs);
    return `noticed after ${Math.round(noticedMs)} ms, another one ${Math.round(tookMs)} ms later`;
  },
};

const allServersDie: Fault = {
  ...{ row: 6, name: "every nats-server dies and stays dead", mayLose: false },
  writeTo: ["a", "b"],
  inflict: async (rig) => {
    const processes = CHASSIS.map((name) => rig.fixture.chassis(name));
    await rig.servers.takeAway(processes);
    try {
      const areAway = async () => !(await Promise.all(processes.map(serverWorks))).includes(true);
      await until("no nats-server works", areAway);
      const tookMs = await spread(rig, "without-nats");
      return `a change reaches all over links in ${Math.round(tookMs)} ms`;
    } finally {
      rig.servers.giveBack();
      const areBack = async () => !(await Promise.all(processes.map(serverWorks))).includes(false);
      await until("every nats-server works", areBack);
    }
  },
};

/** Milliseconds from a change at chassis a until `others` have it. */
export async function spread(
  { fixture }: Rig,
  name: string,
  others: readonly (typeof CHASSIS)[number][] = ["b", "c"],
): Promise<number> {
  const body = { kind: "switch", name };
  const { client } = fixture.chassis("a");
  succeeded(await client.request("PUT", `/v1/switches/${name}`, { body }));
  let tookMs = 0;
  for (const other of others) {
    const hasIt = async () => (await missingAt(fixture.chassis(other), [name])).length === 0;
    tookMs += await until(`${name} at ${other}`, hasIt);
  }
  return tookMs;
}

export const PROCESS_FAULTS: readonly Fault[] = [
  ...[nothing, workerDies, controlHangs, chassisDies],
  ...[serverDies, serverHangs, allServersDie],
];
