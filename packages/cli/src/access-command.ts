/** `rhone access …` and `rhone audit`: who may use a cluster, and who changed what. */
import type { AccessView, AuditView, GrantedView, RefusedView } from "@rhone/api/context";
import { ROLES } from "@rhone/state/access";
import { type Command, Option } from "commander";
import { lifeReader } from "./life.ts";
import { print } from "./print.ts";
import { succeeded } from "./rest-client.ts";
import { clientOf, type ServerOptions } from "./server-options.ts";
import { formatTable } from "./table.ts";

const LIFE_DAYS_MAX = 3650;

const HELP = `
A token is made at any chassis and good at all of them. The first one is made over the UNIX socket,
where no token is needed:
  rhone --server unix:/run/rhone.sock access grant alice --role admin
  RHONE_TOKEN=rhone_… rhone --server https://192.168.100.1:7101 get ports`;

export function addAccessCommands(program: Command): void {
  const access = program
    .command("access")
    .description("Say who may use the REST API")
    .addHelpText("after", HELP);
  access
    .command("grant")
    .description("Make a token and print it, this once")
    .argument("<name>", "of the token: for whom or what it is")
    .addOption(
      new Option("--role <role>", "what it is good for").choices(ROLES).makeOptionMandatory(),
    )
    .option("--for <time>", "how long: 30m, 1h, 90d; 90d when left out", lifeReader(LIFE_DAYS_MAX))
    .action((name: string, _: unknown, command: Command) => grant(name, command.optsWithGlobals()));
  access
    .command("list")
    .description("Show the tokens there are, without what is secret")
    .action((_: unknown, command: Command) => listAll(command.optsWithGlobals()));
  access
    .command("revoke")
    .description("End a token, at every chassis that can be reached")
    .argument("<name>")
    .action((name: string, _: unknown, command: Command) => {
      return revoke(name, command.optsWithGlobals());
    });
  program
    .command("audit")
    .description("Show who changed what, at every chassis, the newest first")
    .option("--limit <count>", "entries at most")
    .option("--who <name>", "only what this one changed")
    .option("--kind <kind>", "only changes of this kind")
    .option("--name <name>", "only changes of what has this name")
    .option("--since <time>", "only changes from this time on, such as 2030-01-31T12:00:00Z")
    .option("--refused", "what the chassis that is asked refused, instead")
    .action((_: unknown, command: Command) => audit(command.optsWithGlobals()));
}

interface GrantOptions extends ServerOptions {
  readonly role: string;
  readonly for?: number;
}

async function grant(name: string, options: GrantOptions): Promise<void> {
  const life = options.for === undefined ? {} : { lifeSeconds: options.for / 1000 };
  const body = { name, role: options.role, ...life };
  const answer = await clientOf(options).request("POST", "/v1/access", { body });
  const view = succeeded(answer).body as GrantedView;
  if (options.json !== true) {
    process.stderr.write(`${view.role} ${view.name}, until ${view.expires}. Shown only once:\n`);
  }
  print(options, view, () => view.token);
}

async function listAll(options: ServerOptions): Promise<void> {
  const list = await clientOf(options).get<AccessView[]>("/v1/access");
  print(options, list, () =>
    formatTable([
      ["name", "role", "until", "made", "by"],
      ...list.map(({ name, role, expires, expired, created, createdBy }) => {
        return [name, role, expired ? `${expires} (over)` : expires, created, createdBy];
      }),
    ]),
  );
}

async function revoke(name: string, options: ServerOptions): Promise<void> {
  const path = `/v1/access/${encodeURIComponent(name)}`;
  succeeded(await clientOf(options).request("DELETE", path));
  print(options, { revoked: name }, () => `the token ${name} is revoked`);
}

interface AuditOptions extends ServerOptions {
  readonly refused?: boolean;
}

const FILTERS = ["limit", "who", "kind", "name", "since"] as const;

async function audit(
  options: AuditOptions & { readonly [filter in (typeof FILTERS)[number]]?: string },
): Promise<void> {
  const client = clientOf(options);
  if (options.refused === true) {
    const view = await client.get<RefusedView>("/v1/audit/refused");
    print(options, view, () => formatRefused(view));
    return;
  }
  const query = new URLSearchParams();
  for (const filter of FILTERS) {
    const value = options[filter];
    if (value !== undefined) query.set(filter, value);
  }
  const entries = await client.get<AuditView[]>(`/v1/audit?${query}`);
  print(options, entries, () => formatEntries(entries));
}

function formatEntries(entries: readonly AuditView[]): string {
  const rows = entries.map(({ at, who, from, chassis, method, targets, targetCount, revision }) => {
    const named = targets.map(({ kind, name, change }) => `${kind} ${name} ${change}`);
    const more = targetCount - targets.length;
    const changes = [...named, ...(more > 0 ? [`and ${more} more`] : [])].join(", ");
    return [at, who, from, chassis, method, String(revision), changes];
  });
  return formatTable([["at", "who", "from", "chassis", "", "revision", "changed"], ...rows]);
}

function formatRefused({ chassis, counts, newest }: RefusedView): string {
  const rows = newest.map(({ at, who, from, method, path, status, count }) => {
    return [at, who ?? "–", from, method, path, String(status), String(count)];
  });
  return [
    `Chassis ${chassis}: ${counts[401]} without a good token, ${counts[403]} without the role, ` +
      `${counts[429]} after too many wrong tokens`,
    formatTable([["last", "who", "from", "", "path", "status", "times"], ...rows]),
  ].join("\n\n");
}
