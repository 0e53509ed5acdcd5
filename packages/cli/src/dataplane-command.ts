/** `rhone dataplane`: the workers of a chassis and the places of its stages, seen and set. */
import type { WorkersView } from "@rhone/api/context";
import { type Dataplane, PLACEABLE, type StagePlace } from "@rhone/state/dataplane";
import { Argument, type Command, InvalidArgumentError } from "commander";
import { placementText } from "./placement-text.ts";
import { print } from "./print.ts";
import { type RestClient, succeeded } from "./rest-client.ts";
import { clientOf, type ServerOptions } from "./server-options.ts";
import { formatTable } from "./table.ts";
import { EXIT_USAGE, UserError } from "./user-error.ts";
import { type WaitOptions, waitOption, waitQuery } from "./wait-option.ts";

interface Options extends ServerOptions, WaitOptions {
  readonly chassis?: string;
}

interface PlaceOptions extends Options {
  readonly worker?: number;
  readonly to?: string;
  readonly home?: boolean;
}

/** What is written down for a chassis; empty when nothing is. */
type Wishes = Pick<Partial<Dataplane>, "workers" | "placement">;

const WAIT_MS = 20_000;

export function addDataplaneCommands(program: Command): void {
  const dataplane = program
    .command("dataplane")
    .description("The workers of a chassis, and where its stages run");
  dataplane
    .command("show")
    .description("Show the workers of the chassis that is asked, what each has and how it fares")
    .argument("[chassis]", "another one: only how many workers it has, and its places")
    .action((chassis: string | undefined, _: unknown, command: Command) =>
      show(chassis, command.optsWithGlobals()),
    );
  dataplane
    .command("scale")
    .description("Set the number of workers; traffic goes on meanwhile")
    .argument(
      "<workers>",
      "data-plane threads, as many as the chassis is configured for",
      wholeNumber,
    )
    .option("--chassis <name>", "by default, the chassis that is asked")
    .addOption(waitOption())
    .action((workers: number, _: unknown, command: Command) =>
      scale(workers, command.optsWithGlobals()),
    );
  dataplane
    .command("place")
    .description("Run a stage elsewhere: --worker, --to or --home; traffic goes on meanwhile")
    .addArgument(new Argument("<stage>", "that can run elsewhere").choices(Object.keys(PLACEABLE)))
    .option("--worker <number>", "at this worker of the chassis", wholeNumberFrom0)
    .option("--to <chassis>", "at another chassis")
    .option("--home", "where its packet is, as at first")
    .option("--chassis <name>", "whose stage; by default, of the chassis that is asked")
    .addOption(waitOption())
    .action((stage: string, _: unknown, command: Command) =>
      place(stage, command.optsWithGlobals()),
    );
}

async function show(chassis: string | undefined, options: Options): Promise<void> {
  const client = clientOf(options);
  const view = await client.get<WorkersView>("/v1/workers");
  const { placement = {} } = await wishesFor(client, chassis ?? view.chassis);
  if (chassis === undefined || chassis === view.chassis) {
    print(options, { ...view, placement }, () => formatWorkers(view, placement));
    return;
  }
  const path = `/v1/chassis/${encodeURIComponent(chassis)}`;
  const other = await client.get<{ workers: number; workersMax?: number }>(path);
  const most = other.workersMax === undefined ? "" : ` of at most ${other.workersMax}`;
  const hint = "Ask it by --server for what they do.";
  const text = `Chassis ${chassis}: ${count(other.workers)}${most}; ${placementText(placement)}`;
  print(options, { ...other, placement }, () => `${text}. ${hint}`);
}

async function scale(workers: number, options: Options): Promise<void> {
  const chassis = await write(options, () => ({ workers }));
  print(options, chassis.body, () => `chassis ${chassis.name}: ${count(workers)}`);
}

async function place(stage: string, options: PlaceOptions): Promise<void> {
  const { worker, to, home } = options;
  if ([worker, to, home].filter((asked) => asked !== undefined).length !== 1) {
    throw new UserError("expected one of --worker, --to and --home", EXIT_USAGE);
  }
  const chassis = await write(options, ({ placement = {} }) => {
    const places: Record<string, StagePlace> = { ...placement };
    if (worker !== undefined) places[stage] = { worker };
    else if (to !== undefined) places[stage] = { chassis: to };
    else delete places[stage];
    return { placement: places };
  });
  const { placement = {} } = chassis.body;
  print(options, chassis.body, () => `chassis ${chassis.name}: ${placementText(placement)}`);
}

/** Writes some of what is wished for a chassis; what else is written down stays. */
async function write(
  options: Options,
  change: (before: Wishes) => Wishes,
): Promise<{ readonly name: string; readonly body: Wishes }> {
  const client = clientOf(options);
  const name = options.chassis ?? (await client.get<WorkersView>("/v1/workers")).chassis;
  const before = await wishesFor(client, name);
  const path = pathFor(name) + waitQuery(options, WAIT_MS);
  const request = { body: { ...before, ...change(before) }, timeoutMs: WAIT_MS + 5000 };
  return { name, body: succeeded(await client.request("PUT", path, request)).body as Wishes };
}

function count(workers: number): string {
  return workers === 1 ? "1 worker" : `${workers} workers`;
}

async function wishesFor(client: RestClient, chassis: string): Promise<Wishes> {
  const answer = await client.request("GET", pathFor(chassis));
  return answer.status === 404 ? {} : (succeeded(answer).body as Wishes);
}

function pathFor(chassis: string): string {
  return `/v1/chassis/${encodeURIComponent(chassis)}/dataplane`;
}

function formatWorkers(
  { chassis, wanted, most, settled, workers, slots }: WorkersView,
  placement: Readonly<Record<string, StagePlace>>,
): string {
  const rows = workers.map((worker) => {
    const { index, state, asleep, buckets, devices, tunnelSockets, ringDepth } = worker;
    const busiest = worker.fills.lastIndexOf(Math.max(...worker.fills));
    const figures = [buckets, tunnelSockets, worker.loops, worker.sleeps, ringDepth];
    const condition = state === "running" && asleep ? "asleep" : state;
    const fill = Math.max(...worker.fills) === 0 ? "–" : `${2 ** busiest}`;
    return [String(index), condition, ...figures.map(String), fill, devices.join(", ")];
  });
  const header = ["worker", "", "buckets", "sockets", "loops", "sleeps", "waiting", "batch"];
  const { total, free, unaccounted } = slots;
  const inUse = total - free - slots.withNobody;
  return [
    `Chassis ${chassis}: ${count(wanted)} of at most ${most}${settled ? "" : ", on the move"}`,
    formatTable([[...header, "devices"], ...rows]),
    ...clockTables(workers),
    `Places: ${placementText(placement)}`,
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
  if (/^\d+$/.test(text) && Number(text) >= 1) return Number(text);
  throw new InvalidArgumentError("Expected a whole number from 1 on.");
}

function wholeNumberFrom0(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Expected a whole number from 0 on.");
}
