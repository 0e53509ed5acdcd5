/** The commands that talk to one chassis: apply, get, delete, counters, pipeline, health. */
import type {
  AppliedView,
  CountersView,
  GatewayView,
  HealthView,
  PortStatusView,
  StageView,
} from "@rhone/api/context";
import type { AclMatch } from "@rhone/state/acl";
import type { StagePlace } from "@rhone/state/dataplane";
import type { IdentityRow } from "@rhone/state/identities";
import type { Labels } from "@rhone/state/labels";
import type { Vip } from "@rhone/state/load-balancer";
import { RESERVED_PREFIX } from "@rhone/state/reserved-identities";
import type { UserKind } from "@rhone/state/schema";
import { endText, formatLabels, matchText } from "@rhone/state/text";
import type { Command } from "commander";
import { GATEWAY_HEADER, gatewayRow } from "./gateway-command.ts";
import { isLabDocument, locateAll } from "./lab-file.ts";
import { placementText } from "./placement-text.ts";
import { print } from "./print.ts";
import { RestError, succeeded } from "./rest-client.ts";
import { clientOf, type ServerOptions } from "./server-options.ts";
import { formatTable } from "./table.ts";
import { EXIT_FAILED, UserError } from "./user-error.ts";
import { type WaitOptions, waitOption, waitQuery } from "./wait-option.ts";
import { readYamlFile, type YamlDocument } from "./yaml-documents.ts";

const PLURALS: Readonly<Record<string, string>> = {
  switch: "switches",
  router: "routers",
  port: "ports",
  identity: "identities",
  acl: "acls",
  "load-balancer": "load-balancers",
  gateway: "gateways",
  dataplane: "dataplanes",
  chassis: "chassis",
};
const DELETABLE = ["switch", "router", "port", "acl", "load-balancer", "gateway", "dataplane"];

export function addResourceCommands(program: Command): void {
  program
    .command("apply")
    .description("Create or replace all resources of a file in one transaction")
    .requiredOption("-f, --file <file>", "YAML documents; - is standard input")
    .addOption(waitOption())
    .action((_: unknown, command: Command) => apply(command.optsWithGlobals()));
  program
    .command("get")
    .description(
      "Show switches, routers, ports, identities, acls, load-balancers, gateways, dataplanes or " +
        "chassis",
    )
    .argument("<kind>", "singular or plural")
    .argument("[name]", "one of them, in full")
    .action((kind: string, name: string | undefined, _: unknown, command: Command) =>
      get(kind, name, command.optsWithGlobals()),
    );
  program
    .command("delete")
    .description("Delete a switch, router, port, acl, load-balancer, gateway or dataplane")
    .argument("<kind>", "singular or plural")
    .argument("<name>")
    .addOption(waitOption())
    .action((kind: string, name: string, _: unknown, command: Command) =>
      remove(kind, name, command.optsWithGlobals()),
    );
  addView<CountersView>(program, "counters", "/v1/counters", formatCounters).description(
    "Show what a chassis' stages, devices and tunnel counted, and what it dropped",
  );
  addView<StageView[]>(program, "pipeline", "/v1/pipeline", formatPipeline).description(
    "Show the stages that packets pass",
  );
  addView<HealthView>(program, "health", "/healthz", formatHealth).description(
    "Show whether a chassis can do its work; exit status 1 if not",
  );
}

async function apply(options: ServerOptions & WaitOptions & { file: string }): Promise<void> {
  const documents = readYamlFile(options.file).filter((document) => !isLabDocument(document));
  const body = documents.map(({ value }) => value);
  const path = `/v1/apply${waitQuery(options)}`;
  const answer = await clientOf(options).request("POST", path, { body });
  const { revision, documents: results } = (await locating(options.file, documents, () => {
    return succeeded(answer).body;
  })) as AppliedView;
  print(options, { revision, documents: results }, () =>
    formatTable(results.map(({ kind, name, result }) => [kind, name, result])),
  );
}

/** The chassis' pointers into the request become lines of the file that the user wrote. */
async function locating<T>(
  path: string,
  documents: readonly YamlDocument[],
  attempt: () => T,
): Promise<T> {
  try {
    return attempt();
  } catch (error) {
    const errors = error instanceof RestError ? error.problem.errors : undefined;
    if (errors === undefined) throw error;
    throw new UserError(locateAll(path, documents, errors).join("\n"), EXIT_FAILED);
  }
}

async function get(kind: string, name: string | undefined, options: ServerOptions): Promise<void> {
  const singular = singularOf(kind, Object.keys(PLURALS));
  const client = clientOf(options);
  const path = `/v1/${PLURALS[singular]}`;
  if (singular === "identity") {
    const all = await client.get<IdentityRow[]>(path);
    const wanted = name === undefined ? all : all.filter(({ number }) => String(number) === name);
    if (wanted.length === 0 && name !== undefined) {
      throw new UserError(`no identity ${name}`, EXIT_FAILED);
    }
    print(options, wanted, () => formatTable([IDENTITY_HEADER, ...wanted.map(identityRow)]));
    return;
  }
  if (name !== undefined) {
    const resource = await client.get<object>(pathOf(singular, name));
    print(options, resource, () => JSON.stringify(resource, null, 2));
    return;
  }
  const resources = await client.get<Resource[]>(path);
  print(options, resources, () => {
    const table = formatTable([HEADERS[singular]!, ...resources.map(rowOf)]);
    const troubles = resources.flatMap(({ kind, name, notInForce }) => {
      return notInForce === undefined ? [] : `${kind} ${name}: ${notInForce}`;
    });
    return troubles.length === 0 ? table : `${table}\n\n${troubles.join("\n")}`;
  });
}

const IDENTITY_HEADER = ["number", "labels", "ports", "meaning"];

function identityRow({ number, reserved, labels, ports, meaning }: IdentityRow): string[] {
  const name = reserved === undefined ? formatLabels(labels) : RESERVED_PREFIX + reserved;
  return [String(number), name, ports.join(" "), meaning ?? ""];
}

function pathOf(singular: string, name: string): string {
  const encoded = encodeURIComponent(name);
  if (singular === "dataplane") return `/v1/chassis/${encoded}/dataplane`;
  return `/v1/${PLURALS[singular]}/${encoded}`;
}

async function remove(
  kind: string,
  name: string,
  options: ServerOptions & WaitOptions,
): Promise<void> {
  const singular = singularOf(kind, DELETABLE);
  const path = `${pathOf(singular, name)}${waitQuery(options)}`;
  succeeded(await clientOf(options).request("DELETE", path));
  print(options, { deleted: { kind: singular, name } }, () => `${singular} ${name} deleted`);
}

function addView<T>(
  program: Command,
  name: string,
  path: string,
  format: (view: T) => string,
): Command {
  return program.command(name).action(async (_: unknown, command: Command) => {
    const options = command.optsWithGlobals<ServerOptions>();
    const answer = await clientOf(options).request("GET", path);
    // A degraded chassis answers 503 with the same view.
    const isView = answer.status === 503 && path === "/healthz";
    const view = (isView ? answer : succeeded(answer)).body as T;
    if (isView) process.exitCode = EXIT_FAILED;
    print(options, view as object, () => format(view));
  });
}

function singularOf(kind: string, kinds: readonly string[]): string {
  const singular = kinds.find((candidate) => candidate === kind || PLURALS[candidate] === kind);
  if (singular !== undefined) return singular;
  throw new UserError(`expected one of ${kinds.join(", ")}, got "${kind}"`);
}

type Kind = UserKind | "chassis";

interface Resource {
  readonly kind: Kind;
  readonly name: string;
  readonly description?: string;
  readonly notInForce?: string;
  readonly maxStaleSeconds?: number;
  readonly ports?: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  readonly switch?: string;
  readonly mac?: string;
  readonly addresses?: readonly string[];
  readonly chassis?: string;
  readonly device?: string;
  readonly labels?: Labels;
  readonly status?: PortStatusView;
  readonly underlay?: string;
  readonly workers?: number;
  readonly version?: string;
  readonly port?: string;
  readonly direction?: string;
  readonly priority?: number;
  readonly match?: AclMatch;
  readonly action?: string;
  readonly hits?: number;
  readonly switches?: readonly string[];
  readonly vips?: readonly Vip[];
  readonly placement?: Readonly<Record<string, StagePlace>>;
}

const HEADERS: Readonly<Record<string, readonly string[]>> = {
  switch: ["name", "max stale", "description"],
  router: ["name", "ports"],
  port: ["name", "switch", "addresses", "mac", "chassis", "device", "status", "labels"],
  acl: ["name", "switch", "port", "direction", "priority", "match", "action", "hits"],
  "load-balancer": ["name", "switches", "vip", "backends"],
  gateway: GATEWAY_HEADER,
  dataplane: ["chassis", "workers", "placement"],
  chassis: ["name", "underlay", "workers", "version"],
};

function rowOf(resource: Resource): string[] {
  const { kind, name } = resource;
  switch (kind) {
    case "switch":
      return [name, staleText(resource.maxStaleSeconds), resource.description ?? ""];
    case "router":
      return [name, (resource.ports ?? []).map((p) => `${p.name} ${p.addresses[0]}`).join(", ")];
    case "acl": {
      const { direction, priority, action, hits } = resource;
      const [at, port] = [resource.switch!, resource.port ?? "all"];
      const match = matchText(resource.match!);
      return [name, at, port, direction!, String(priority), match, action!, String(hits)];
    }
    case "load-balancer": {
      const { switches, vips } = resource;
      const backends = vips!.map((vip) => vip.backends.map(endText).join(" ") || "none");
      return [name, switches!.join(" "), vips!.map(endText).join(", "), backends.join(", ")];
    }
    case "gateway":
      return gatewayRow(resource as unknown as GatewayView);
    case "dataplane":
      return [
        name,
        String(resource.workers ?? "as configured"),
        placementText(resource.placement ?? {}),
      ];
    case "chassis":
      return [name, resource.underlay!, String(resource.workers), resource.version!];
    case "port": {
      const { status, addresses, mac, device = "–", labels = {} } = resource;
      const chassis = status?.chassis ?? resource.chassis ?? "–";
      const detail = status?.detail ?? "";
      const state = status?.up ? `up${detail === "" ? "" : `, ${detail}`}` : `down: ${detail}`;
      return [
        name,
        resource.switch!,
        addresses!.join(" "),
        mac!,
        chassis,
        device,
        state,
        formatLabels(labels),
      ];
    }
  }
}

function staleText(seconds: number | undefined): string {
  return seconds === undefined ? "any" : `${seconds} s`;
}

function formatCounters(counters: CountersView): string {
  const { chassis, stages, drops, devices, tunnel, messages, early } = counters;
  const stageRows = stages.map(({ number, name, packets, drops }) =>
    [number, name, packets, drops].map(String),
  );
  const deviceRows = [
    ...devices.map(({ device, port, ...counts }) => ({ name: `${device} (${port})`, ...counts })),
    { name: "tunnel", ...tunnel },
  ].map(({ name, rxPackets, rxBytes, txPackets, txBytes, drops }) =>
    [name, rxPackets, rxBytes, txPackets, txBytes, drops].map(String),
  );
  const dropRows = drops.map(({ reason, text, packets }) => [reason, String(packets), text]);
  const messageRows = messages.map(({ topic, sent, received }) =>
    [topic, received.messages, received.bytes, sent.messages, sent.bytes].map(String),
  );
  const messageHeader = ["messages about", "received", "bytes", "sent", "bytes"];
  const deviceHeader = ["device", "received", "bytes", "sent", "bytes", "dropped"];
  return [
    `Chassis ${chassis}`,
    formatTable([["stage", "", "packets", "dropped"], ...stageRows]),
    formatTable([deviceHeader, ...deviceRows]),
    formatTable([messageHeader, ...messageRows]),
    ...(dropRows.length > 0 ? [formatTable([["drop reason", "packets", ""], ...dropRows])] : []),
    ...(early.held + early.refused > 0 ? [earlyText(early)] : []),
  ].join("\n\n");
}

function earlyText({ held, released, expired, refused, senders }: CountersView["early"]): string {
  const [last] = senders;
  const by = last === undefined ? "" : ` The last came from ${last.chassis ?? last.address}.`;
  return (
    `Packets of others came before what they name was known here: ${held} waited for it, ` +
    `${released} went on, ${expired} waited in vain, and for ${refused} there was no room.${by}`
  );
}

function formatPipeline(stages: readonly StageView[]): string {
  const rows = stages.map(({ number, name, job, resumable }) => {
    return [String(number), name, resumable ? "yes" : "no", job];
  });
  return formatTable([["stage", "", "resumable", "job"], ...rows]);
}

function formatHealth({ status, checks }: HealthView): string {
  const rows = checks.map(({ name, ok, detail }) => [ok ? "✓" : "✗", name, detail]);
  return `${status}\n${formatTable(rows)}`;
}
