/** `rhone lab up` and `rhone lab down`. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { checkLab } from "./check.ts";
import { formatReport } from "./check-report.ts";
import { type RunningLab, startLab } from "./lab.ts";
import { readLabFile } from "./lab-file.ts";
import type { Driver, TunnelDriver } from "./namespaces.ts";
import { cleanUp } from "./reaper.ts";
import { checkRequirements } from "./requirements.ts";
import { type LabRecord, listLabRecords, ownerIsAlive, readLabRecord } from "./run-directory.ts";
import type { Runtime } from "./runtime.ts";
import { formatTable } from "./table.ts";
import { EXIT_FAILED, UserError } from "./user-error.ts";

interface UpOptions {
  readonly check?: boolean;
  readonly once?: boolean;
  readonly runtime: Runtime;
  readonly driver: Driver;
  readonly tunnelDriver: TunnelDriver;
  readonly workers: number;
  readonly prefix?: string;
  readonly restPort: number;
}

const REST_PORT = 7101;
const WORKERS_MAX = 16;
const PORT_MAX = 65535;
const DOWN_TIMEOUT_MS = 20_000;
const POLL_MS = 50;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const UP_HELP = `
The file describes chassis, workloads and the network between them; see labs/web-db.yaml. Everything
is built in network namespaces of its own and removed again at the end, also after a crash.

Examples:
  rhone lab up labs/web-db.yaml
  rhone lab up labs/web-db.yaml --check --once --json
  rhone lab up labs/web-db.yaml --runtime deno --driver af-xdp --workers 1
  rhone lab up labs/gateway.yaml                                Two chassis share a way out
  rhone lab up labs/web-db.yaml --prefix mine --rest-port 0     A second lab beside the first`;

export function addLabCommands(program: Command): void {
  const lab = program.command("lab").description("Build networks of chassis on this machine");
  lab
    .command("up")
    .description("Build a lab and keep it until Ctrl-C")
    .argument("<file>", "YAML file of the lab")
    .option("--check", "try every path between the workloads and print what works")
    .option("--once", "end when the lab is up, or checked; exit status 1 if a check failed")
    .addOption(choice("--runtime <name>", "what runs the chassis", ["node", "deno"]))
    .addOption(choice("--driver <name>", "how workload ports are opened", ["af-packet", "af-xdp"]))
    .addOption(choice("--tunnel-driver <name>", "what carries the tunnel", ["udp", "af-xdp"]))
    .option("--workers <count>", "data-plane threads of each chassis", count(1, WORKERS_MAX), 2)
    .option("--prefix <name>", "first part of the namespaces' names (default: rhone-<lab>)")
    .option(
      "--rest-port <port>",
      "first of the TCP ports for REST, one a chassis; 0 takes any free ones",
      count(0, PORT_MAX),
      REST_PORT,
    )
    .addHelpText("after", UP_HELP)
    .action((file: string, _: unknown, command: Command) => {
      return up(file, command.optsWithGlobals());
    });
  lab
    .command("down")
    .description("End a lab that runs somewhere else, or remove what is left of one")
    .argument("[name]", "its prefix or name; may be left out when there is only one")
    .action(down);
}

async function up(file: string, options: UpOptions & { readonly json?: boolean }): Promise<void> {
  const { driver, tunnelDriver, runtime, workers, prefix, restPort } = options;
  const lab = readLabFile(file);
  checkRequirements({
    usesXdp: [driver, tunnelDriver].includes("af-xdp"),
    usesPing: options.check === true,
  });
  const stopped = Promise.withResolvers<void>();
  for (const signal of SIGNALS) process.once(signal, () => stopped.resolve());
  const running = await startLab({
    ...{
      lab,
      driver,
      tunnelDriver,
      runtime,
      workers,
      restPort,
      ...(prefix === undefined ? {} : { prefix }),
    },
    onEvent: (text) => process.stderr.write(`rhone: ${text}\n`),
  });
  try {
    print(options.json ? JSON.stringify(describe(running)) : formatLab(running));
    if (options.check) {
      const report = await Promise.race([checkLab(running), stopped.promise]);
      if (report === undefined) return;
      print(options.json ? JSON.stringify({ event: "checked", ...report }) : formatReport(report));
      if (options.once && !report.ok) process.exitCode = EXIT_FAILED;
    }
    if (options.once) return;
    if (!options.json) print("\nCtrl-C ends the lab.");
    await stopped.promise;
  } finally {
    await running.down();
  }
}

async function down(name?: string): Promise<void> {
  const record = findLab(name);
  if (!ownerIsAlive(record)) return cleanUp(record);
  process.kill(record.pid, "SIGTERM");
  const deadline = performance.now() + DOWN_TIMEOUT_MS;
  while (readLabRecord(record.prefix) !== null) {
    if (performance.now() > deadline) {
      const what = `process ${record.pid} of lab ${record.lab} did not end`;
      throw new UserError(`${what} in ${DOWN_TIMEOUT_MS} ms: end it with SIGKILL`, EXIT_FAILED);
    }
    await sleep(POLL_MS);
  }
}

function findLab(name: string | undefined): LabRecord {
  const records = listLabRecords();
  const known = records.map(({ prefix }) => prefix).join(", ") || "none";
  const byPrefix = records.filter(({ prefix }) => prefix === name);
  const found =
    byPrefix.length > 0
      ? byPrefix
      : records.filter(({ lab }) => name === undefined || lab === name);
  if (found.length === 1) return found[0]!;
  const what = name === undefined ? "one lab" : `a lab ${name}`;
  throw new UserError(`expected ${what}, got ${found.length}; there are: ${known}`, EXIT_FAILED);
}

function describe({ lab, prefix, chassis, namespaceOf }: RunningLab): object {
  return {
    event: "up",
    lab: lab.name,
    prefix,
    chassis: chassis.map(
      ({ process: { name, underlay, namespace, socketPath, logPath }, url }) => ({
        ...{ name, underlay, url, socket: socketPath, namespace, log: logPath },
      }),
    ),
    workloads: lab.workloads.map(({ name, chassis, gateway, mac, addresses, ...workload }) => ({
      ...{ name, switch: workload.switch },
      ...(gateway === undefined ? { chassis: chassis[0] } : { gateway, members: chassis }),
      mac,
      addresses: addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`),
      namespace: namespaceOf(name),
    })),
  };
}

function formatLab({ lab, chassis, namespaceOf }: RunningLab): string {
  const chassisRows = chassis.map(({ process: { name, underlay, logPath }, url }) => {
    return [name, underlay, url, logPath];
  });
  const workloadRows = lab.workloads.map((workload) => [
    workload.name,
    workload.switch,
    workload.chassis.join(" or "),
    workload.addresses.map(({ address }) => address).join(" "),
    namespaceOf(workload.name),
  ]);
  const [first] = lab.workloads;
  const shell = first && `ip netns exec ${namespaceOf(first.name)} bash`;
  return [
    `Lab ${lab.name} is up.\n`,
    formatTable([["chassis", "underlay", "REST", "log"], ...chassisRows]),
    "",
    formatTable([["workload", "switch", "chassis", "addresses", "namespace"], ...workloadRows]),
    "",
    ...(shell === undefined ? [] : [`A shell in ${first!.name}:  ${shell}`]),
    `What runs:       curl ${chassis[0]!.url}/v1/ports`,
    "",
  ].join("\n");
}

function choice(flags: string, description: string, values: readonly string[]): Option {
  return new Option(flags, description).choices(values).default(values[0]);
}

function count(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`expected a whole number from ${min} to ${max}.`);
  };
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
