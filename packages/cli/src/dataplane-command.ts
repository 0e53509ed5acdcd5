/** `rhone dataplane`: the workers of a chassis, seen and set. */
import type { WorkersView } from "@rhone/api/context";
import { type Command, InvalidArgumentError } from "commander";
import { print } from "./print.ts";
import { succeeded } from "./rest-client.ts";
import { clientOf, type ServerOptions } from "./server-options.ts";
import { formatTable } from "./table.ts";
import { type WaitOptions, waitOption, waitQuery } from "./wait-option.ts";

interface Options extends ServerOptions, WaitOptions {
  readonly chassis?: string;
}

const WAIT_MS = 20_000;

export function addDataplaneCommands(program: Command): void {
  const dataplane = program.command("dataplane").description("The workers of a chassis");
  dataplane
    .command("show")
    .description("Show the workers of the chassis that is asked, what each has and how it fares")
    .argument("[chassis]", "another one: only how many workers it has")
    .action((chassis: string | undefined, _: unknown, command: Command) =>
      show(chassis, command.optsWithGlobals()),
    );
  dataplane
    .command("scale")
    .description("Set the number of workers; traffic goes on meanwhile")
    .argument("<workers>", "data-plane threads", wholeNumber)
    .option("--chassis <name>", "by default, the chassis that is asked")
    .addOption(waitOption())
    .action((workers: number, _: unknown, command: Command) =>
      scale(workers, command.optsWithGlobals()),
    );
}

async function show(chassis: string | undefined, options: Options): Promise<void> {
  const client = clientOf(options);
  const view = await client.get<WorkersView>("/v1/workers");
  if (chassis === undefined || chassis === view.chassis) {
    print(options, view, () => formatWorkers(view));
    return;
  }
  const path = `/v1/chassis/${encodeURIComponent(chassis)}`;
  const other = await client.get<{ workers: number; workersMax?: number }>(path);
  const most = other.workersMax === undefined ? "" : ` of at most ${other.workersMax}`;
  const hint = "Ask it by --server for what they do.";
  print(options, other, () => `Chassis ${chassis}: ${other.workers} workers${most}. ${hint}`);
}

async function scale(workers: number, options: Options): Promise<void> {
  const client = clientOf(options);
  const chassis = options.chassis ?? (await client.get<WorkersView>("/v1/workers")).chassis;
  const path = `/v1/chassis/${encodeURIComponent(chassis)}/dataplane`;
  // What else the document says stays.
  const before = await client.request("GET", path);
  const document = before.status === 404 ? {} : (succeeded(before).body as object);
  const query = waitQuery(options, WAIT_MS);
  const request = { body: { ...document, workers }, timeoutMs: WAIT_MS + 5000 };
  const { body } = succeeded(await client.request("PUT", path + query, request));
  print(options, body as object, () => `chassis ${chassis}: ${workers} workers`);
}

function formatWorkers({ chassis, wanted, most, settled, workers, slots }: WorkersView): string {
  const rows = workers.map((worker) => {
    const { index, state, asleep, buckets, devices, tunnelSockets, ringDepth } = worker;
    const busiest = worker.fills.lastIndexOf(Math.max(...worker.fills));
    const figures = [buckets, tunnelSockets, worker.loops, worker.sleeps, ringDepth];
    const condition = state === "running" && asleep ? "asleep" : state;
    const fill = Math.max(...worker.fills) === 0 ? "–" : `${2 ** busiest}`;
    return [String(index), condition, ...figures.map(String), fill, devices.join(" ")];
  });
  const header = ["worker", "", "buckets", "sockets", "loops", "sleeps", "waiting", "batch"];
  const { total, free, unaccounted } = slots;
  const inUse = total - free - slots.withNobody;
  return [
    `Chassis ${chassis}: ${wanted} workers of at most ${most}${settled ? "" : ", on the move"}`,
    formatTable([[...header, "devices"], ...rows]),
    ...clockTables(workers),
    `Slots: ${total}, in use ${inUse}, lost ${unaccounted}`,
  ].join("\n\n");
}

/** Time by stage over all workers, nanoseconds a packet. */
function clockTables(workers: WorkersView["workers"]): string[] {
  const stages = new Map<string, { packets: number; batches: number; nanoseconds: number }>();
  for (const { stage, packets, batches, nanoseconds } of workers.flatMap(({ clocks }) => clocks)) {
    const sum = stages.get(stage) ?? { packets: 0, batches: 0, nanoseconds: 0 };
    sum.packets += packets;
    sum.batches += batches;
    sum.nanoseconds += nanoseconds;
    stages.set(stage, sum);
  }
  if (stages.size === 0) return [];
  const rows = [...stages].map(([stage, { packets, batches, nanoseconds }]) =>
    [stage, (packets / batches).toFixed(1), (nanoseconds / packets).toFixed(0)].map(String),
  );
  return [formatTable([["stage", "packets a batch", "ns a packet"], ...rows])];
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1) {
    throw new InvalidArgumentError("Expected a whole number from 1 on.");
  }
  return value;
}
