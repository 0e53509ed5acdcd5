/** `rhone port`: a port moves to another chassis. */
import type { PortStatusView } from "@rhone/api/context";
import { ACTIVATIONS, type Activation, type Port } from "@rhone/state/schema";
import { type Command, Option } from "commander";
import { print } from "./print.ts";
import { succeeded } from "./rest-client.ts";
import { clientOf, type ServerOptions } from "./server-options.ts";
import { formatTable } from "./table.ts";
import { EXIT_FAILED, EXIT_USAGE, UserError } from "./user-error.ts";
import { type WaitOptions, waitOption, waitQuery } from "./wait-option.ts";

interface MigrateOptions extends ServerOptions, WaitOptions {
  readonly to?: string;
  readonly device?: string;
  readonly activation?: readonly Activation[];
  readonly finish?: boolean;
  readonly abort?: boolean;
}

type PortView = Port & { readonly status: PortStatusView };

export function addPortCommands(program: Command): void {
  const port = program.command("port").description("Ports, and where they are");
  port
    .command("show")
    .description("Show which chassis has a port, and which others claim it or wait for it")
    .argument("<name>")
    .action((name: string, _: unknown, command: Command) => show(name, command.optsWithGlobals()));
  port
    .command("migrate")
    .description("Move a port to another chassis: --to, then the guest moves, then --finish")
    .argument("<name>")
    .option("--to <chassis>", "begin: that chassis stands by until the guest is heard there")
    .option("--device <device>", "there, when it has another name")
    .addOption(
      new Option(
        "--activation <frames...>",
        "what of the guest counts; any of them by default",
      ).choices([...ACTIVATIONS]),
    )
    .option("--finish", "the port belongs there from now on; the source is done")
    .option("--abort", "the port stays where it was")
    .addOption(waitOption())
    .action((name: string, _: unknown, command: Command) =>
      migrate(name, command.optsWithGlobals()),
    );
  port
    .command("activate")
    .description("Make a port that moves active where it goes, without waiting for its guest")
    .argument("<name>")
    .addOption(waitOption())
    .action((name: string, _: unknown, command: Command) =>
      activate(name, command.optsWithGlobals()),
    );
}

async function show(name: string, options: ServerOptions): Promise<void> {
  const view = await clientOf(options).get<PortView>(pathOf(name));
  print(options, view, () => formatClaims(view));
}

async function migrate(name: string, options: MigrateOptions): Promise<void> {
  const { to, device, activation, finish, abort } = options;
  if ([to, finish, abort].filter((asked) => asked !== undefined).length !== 1) {
    throw new UserError("expected one of --to, --finish and --abort", EXIT_USAGE);
  }
  if (to === undefined && (device !== undefined || activation !== undefined)) {
    throw new UserError("--device and --activation: expected --to with them", EXIT_USAGE);
  }
  const client = clientOf(options);
  const { status, ...port } = await client.get<PortView>(pathOf(name));
  const document = to === undefined ? ended(port, finish === true) : begun(port, status, options);
  const path = pathOf(name) + waitQuery(options);
  const answer = succeeded(await client.request("PUT", path, { body: document }));
  const after = answer.body as PortView;
  print(options, after, () => formatClaims(after));
}

/** The port as it is while it moves. */
function begun(port: Port, { chassis }: PortStatusView, options: MigrateOptions): object {
  const from = port.chassis ?? chassis;
  if (from === null) {
    const expected = `expected a port that a chassis has, but nobody has ${port.name}`;
    throw new UserError(expected, EXIT_FAILED);
  }
  const { to, device, activation } = options;
  const migration = { chassis: to, device, activation };
  return { ...port, chassis: from, migration };
}

/** The port as it is when it has moved, or when it is not to move. */
function ended({ migration, ...port }: Port, isFinished: boolean): object {
  if (migration === undefined) {
    throw new UserError(`expected a port that moves, but ${port.name} does not`, EXIT_FAILED);
  }
  if (!isFinished) return port;
  const { chassis, device = port.device, driver = port.driver } = migration;
  return { ...port, chassis, device, driver };
}

async function activate(name: string, options: ServerOptions & WaitOptions): Promise<void> {
  const client = clientOf(options);
  const path = `${pathOf(name)}/activate${waitQuery(options)}`;
  const view = succeeded(await client.request("POST", path)).body as PortView;
  print(options, view, () => formatClaims(view));
}

function pathOf(name: string): string {
  return `/v1/ports/${encodeURIComponent(name)}`;
}

function formatClaims({ name, migration, status }: PortView): string {
  const where = status.chassis === null ? "at no chassis" : `at ${status.chassis}`;
  const goes = migration === undefined ? "" : `, moves to ${migration.chassis}`;
  const head = `Port ${name} is ${status.up ? "up" : "down"} ${where}${goes}`;
  if (status.claims.length === 0) return head;
  const rows = status.claims.map(({ chassis, role, epoch, up, since, detail }) => {
    return [chassis, role, String(epoch), up ? "up" : "down", since, detail];
  });
  return `${head}\n${formatTable([["chassis", "", "epoch", "device", "since", ""], ...rows])}`;
}
