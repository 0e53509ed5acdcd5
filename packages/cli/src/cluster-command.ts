/**
 * `rhone cluster …` and `rhone join`: making a cluster and letting chassis into it. They work on
 * the files of a chassis on this machine, whether it runs or not: who may do that is whom the
 * operating system lets. `status` alone asks a chassis that runs.
 */
import { text } from "node:stream/consumers";
import type { ClusterView } from "@rhone/api/context";
import { Authority } from "@rhone/gossip/authority";
import { fingerprintOf } from "@rhone/gossip/certificate";
import { clusterDirectory } from "@rhone/gossip/identity";
import { JoinError, joinCluster } from "@rhone/gossip/join-client";
import type { Command } from "commander";
import { formatClusterStatus, troublesOf } from "./cluster-status.ts";
import { lifeReader } from "./life.ts";
import { print } from "./print.ts";
import { succeeded } from "./rest-client.ts";
import { clientOf, type ServerOptions } from "./server-options.ts";
import { formatTable } from "./table.ts";
import { EXIT_FAILED, UserError } from "./user-error.ts";

interface Options {
  readonly config: string;
  readonly json?: boolean;
}

const LIFE_DEFAULT_MS = 3_600_000;
const LIFE_DAYS_MAX = 7;

const HELP = `
The first chassis makes the cluster and is its authority; each other one joins with its own token:
  rhone cluster init --config a.yaml       On the first host
  rhone cluster token --config a.yaml      There, once for each other host
  rhone join --config b.yaml < token       On the other host; then start its chassis`;

export function addClusterCommands(program: Command): void {
  const cluster = program
    .command("cluster")
    .description("Make a cluster, and say who may join it")
    .addHelpText("after", HELP);
  withConfig(cluster.command("init"))
    .description("Make a cluster with this chassis as its first member and authority")
    .action((_: unknown, command: Command) => init(command.optsWithGlobals()));
  withConfig(cluster.command("token"))
    .description("Print a token that lets one chassis join; run it where the authority is")
    .option(
      "--ttl <time>",
      "how long it is good: 30m, 1h, 7d",
      lifeReader(LIFE_DAYS_MAX),
      LIFE_DEFAULT_MS,
    )
    .action((_: unknown, command: Command) => token(command.optsWithGlobals()));
  cluster
    .command("status")
    .description(
      "Show who lives and who does not, as one chassis knows it; exit status 1 if not all is well",
    )
    .action((_: unknown, command: Command) => status(command.optsWithGlobals()));
  withConfig(cluster.command("members"))
    .description("Show who has joined; run it where the authority is")
    .action((_: unknown, command: Command) => members(command.optsWithGlobals()));
  withConfig(cluster.command("forget"))
    .description("Free the name of a chassis that is gone; run it where the authority is")
    .argument("<name>")
    .action((name: string, _: unknown, command: Command) => {
      return forget(name, command.optsWithGlobals());
    });
  withConfig(program.command("join"))
    .description("Let the chassis of this host join a cluster, before its first start")
    .argument("[token]", "from standard input when left out, which keeps it out of ps")
    .action((word: string | undefined, _: unknown, command: Command) => {
      return join(word, command.optsWithGlobals());
    });
}

function withConfig(command: Command): Command {
  return command.requiredOption("--config <file>", "of the chassis on this host");
}

async function init(options: Options): Promise<void> {
  const { name, underlay, directory } = await readChassis(options);
  const authority = refusing(() => Authority.create(directory, { name, underlay }, Date.now()));
  const fingerprint = fingerprintOf(authority.certificate);
  print(options, { authority: fingerprint, chassis: name }, () =>
    [
      `Chassis ${name} is the first of a new cluster, and lets others in.`,
      `Authority (SHA-256): ${fingerprint}`,
      `Its key is in ${directory}/authority: who has it can let anybody in. Keep a copy elsewhere.`,
    ].join("\n"),
  );
}

async function token(options: Options & { readonly ttl: number }): Promise<void> {
  const { underlay, joinPort, directory } = await readChassis(options);
  const authority = openAuthority(directory);
  const at = { address: underlay, port: joinPort };
  const word = refusing(() => authority.mintToken(at, options.ttl, Date.now()));
  print(options, { token: word }, () => word);
}

async function status(options: ServerOptions): Promise<void> {
  const answer = await clientOf(options).request("GET", "/v1/cluster");
  const view = succeeded(answer).body as ClusterView;
  if (troublesOf(view).length > 0) process.exitCode = EXIT_FAILED;
  print(options, view, () => formatClusterStatus(view));
}

async function members(options: Options): Promise<void> {
  const { directory } = await readChassis(options);
  const list = openAuthority(directory).members();
  const view = list.map(({ name, underlay, id, joinedMs }) => ({
    ...{ name, underlay, id, joined: new Date(joinedMs).toISOString() },
  }));
  print(options, view, () =>
    formatTable([
      ["name", "underlay", "key", "joined"],
      ...view.map(({ name, underlay, id, joined }) => [name, underlay, id, joined]),
    ]),
  );
}

async function forget(name: string, options: Options): Promise<void> {
  const { directory } = await readChassis(options);
  if (!openAuthority(directory).forget(name)) {
    throw new UserError(`expected the name of a member, got "${name}"`, EXIT_FAILED);
  }
  print(options, { forgotten: name }, () => {
    return `${name} is free. The old chassis is let in until its certificate ends, 72 h at most.`;
  });
}

async function join(word: string | undefined, options: Options): Promise<void> {
  const { name, underlay, directory } = await readChassis(options);
  const given = word === undefined || word === "-" ? await text(process.stdin) : word;
  try {
    const { peers, authority } = await joinCluster(directory, given, { name, underlay });
    const others = peers.filter((peer) => peer.name !== name).map((peer) => peer.name);
    print(options, { chassis: name, authority, peers: others }, () => {
      return `Chassis ${name} has joined ${others.join(", ")}. It can be started now.`;
    });
  } catch (error) {
    if (error instanceof JoinError) throw new UserError(error.message, EXIT_FAILED);
    throw error;
  }
}

/** What the commands need of a chassis' configuration. */
async function readChassis({ config }: Options) {
  // Only here: the module knows the data plane's limits, and takes its time to load.
  const { readConfig } = await import("@rhone/chassis/config");
  const { name, underlay, dataDirectory, cluster } = refusing(() => readConfig(config));
  const directory = clusterDirectory(dataDirectory);
  return { name, underlay, joinPort: cluster.joinPort, directory };
}

function openAuthority(directory: string): Authority {
  const authority = Authority.open(directory);
  if (authority !== null) return authority;
  throw new UserError(
    `${directory}: expected the authority of a cluster, got another chassis or none: run this ` +
      `where "rhone cluster init" was run`,
    EXIT_FAILED,
  );
}

/** What is wrong with the user's files is for the user to read. */
function refusing<T>(attempt: () => T): T {
  try {
    return attempt();
  } catch (error) {
    throw new UserError((error as Error).message, EXIT_FAILED);
  }
}
