/**
 * A running lab: namespaces, chassis and their REST API, and the resources of the lab file applied
 * to one chassis and spread to all. Used by `rhone lab up` and by tests.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { PortStatusView } from "@rhone/api/context";
import { ChassisProcess, type NatsOptions } from "./chassis-process.ts";
import { formCluster } from "./lab-cluster.ts";
import type { Lab } from "./lab-file.ts";
import {
  createNamespaces,
  type Driver,
  namespaceName,
  namespaceNames,
  type TunnelDriver,
} from "./namespaces.ts";
import { cleanUp, type Reaper, startReaper } from "./reaper.ts";
import { succeeded } from "./rest-client.ts";
import { forwardRest, type RestForward } from "./rest-forward.ts";
import { claimRunDirectory, ownerIsAlive, readLabRecord } from "./run-directory.ts";
import type { Runtime } from "./runtime.ts";
import { EXIT_FAILED, UserError } from "./user-error.ts";

export interface LabOptions {
  readonly lab: Lab;
  /** Of all namespaces, `rhone-<lab>` by default. Labs with different prefixes run side by side. */
  readonly prefix?: string;
  readonly runtime?: Runtime;
  /** Of ports that do not say. */
  readonly driver?: Driver;
  /** Of each chassis, or by chassis; one that is left out has the sockets alone. */
  readonly tunnelDriver?: TunnelDriver | Readonly<Record<string, TunnelDriver>>;
  /** Of each chassis. */
  readonly workers?: number;
  /** Connections that each chassis can track, its default when left out. */
  readonly connections?: number;
  /** Of each chassis, its defaults when left out. */
  readonly nats?: NatsOptions;
  /** First of the loopback ports that REST is forwarded to, one a chassis; 0 for any free ones. */
  readonly restPort?: number;
  /** Hears what happens to the lab, one sentence each. */
  readonly onEvent?: (text: string) => void;
}

export interface RunningChassis {
  readonly process: ChassisProcess;
  /** Where REST is reachable from outside the namespace. */
  readonly url: string;
}

export interface RunningLab {
  readonly lab: Lab;
  readonly prefix: string;
  readonly chassis: readonly RunningChassis[];
  /** Of a chassis, a workload, or "underlay". */
  readonly namespaceOf: (name: string) => string;
  /** Resolves when every chassis has the same state in force and every port is up. */
  readonly settled: () => Promise<void>;
  /** Ends all and leaves nothing behind. May be called again. */
  readonly down: () => Promise<void>;
}

/** With a port's number of five digits, "rhone-" and the longest name of a lab. */
const PREFIX = /^[a-z0-9]([a-z0-9-]{0,35}[a-z0-9])?$/;
const APPLY_TIMEOUT_MS = 10_000;
const SETTLE_TIMEOUT_MS = 20_000;
const POLL_MS = 20;

export function defaultPrefix(lab: Lab): string {
  return `rhone-${lab.name}`;
}

/** Throws UserError when the lab cannot be built; nothing of it is left then. */
export async function startLab(options: LabOptions): Promise<RunningLab> {
  const { lab, prefix = defaultPrefix(options.lab) } = options;
  if (!PREFIX.test(prefix)) {
    throw new UserError(`--prefix: expected 1 to 37 of a-z, 0-9 and -, got "${prefix}"`);
  }
  const record = { prefix, namespaces: namespaceNames(lab, prefix) };
  await claim(lab, record, options.onEvent);
  const running = new Run(options, record, startReaper(record));
  try {
    await running.up();
  } catch (error) {
    await running.down();
    throw error;
  }
  return running;
}

class Run implements RunningLab {
  readonly lab: Lab;
  readonly prefix: string;
  readonly #options: LabOptions;
  readonly #namespaces: readonly string[];
  readonly #reaper: Reaper;
  readonly #processes: ChassisProcess[] = [];
  readonly #forwards: RestForward[] = [];
  #ended: Promise<void> | null = null;

  constructor(
    options: LabOptions,
    record: { readonly prefix: string; readonly namespaces: readonly string[] },
    reaper: Reaper,
  ) {
    this.lab = options.lab;
    this.prefix = record.prefix;
    this.#options = options;
    this.#namespaces = record.namespaces;
    this.#reaper = reaper;
  }

  get chassis(): readonly RunningChassis[] {
    return this.#processes.map((process, i) => ({ process, url: this.#forwards[i]!.url }));
  }

  readonly namespaceOf = (name: string): string => namespaceName(this.prefix, name);

  async up(): Promise<void> {
    const { lab, prefix } = this;
    const { runtime = "node", driver = "af-packet", workers = 2, restPort = 0 } = this.#options;
    const onEvent = this.#options.onEvent ?? ((): void => {});
    for (const self of lab.chassis) {
      const { connections, nats, tunnelDriver: asked = "udp" } = this.#options;
      const tunnelDriver = typeof asked === "string" ? asked : (asked[self.name] ?? "udp");
      const drivers = { driver, tunnelDriver };
      const options = { prefix, runtime, ...drivers, workers, connections, nats, onEvent };
      this.#processes.push(new ChassisProcess(self, options));
    }
    await formCluster(this.#processes);
    for (const [index, { socketPath }] of this.#processes.entries()) {
      const port = restPort === 0 ? 0 : restPort + index;
      this.#forwards.push(await forwardRest(port, socketPath));
    }
    await createNamespaces(lab, prefix, driver);
    for (const process of this.#processes) process.start();
    await Promise.all(this.#processes.map((process) => process.ready()));
    await this.#until(() => this.#findUnknown()); // Gateways name chassis.
    await this.#apply(this.#processes[0]!);
    await this.settled();
  }

  readonly settled = async (): Promise<void> => {
    await this.#until(() => this.#findUnsettled());
    // Nothing new in them: the answer comes when the newest state is in force there.
    await Promise.all(this.#processes.map((process) => this.#apply(process)));
  };

  readonly down = (): Promise<void> => {
    this.#ended ??= this.#end();
    return this.#ended;
  };

  async #end(): Promise<void> {
    for (const forward of this.#forwards) forward.close();
    await Promise.all(this.#processes.map((process) => process.stop()));
    await cleanUp({ prefix: this.prefix, namespaces: this.#namespaces });
    await this.#reaper.release();
  }

  async #apply({ client }: ChassisProcess): Promise<void> {
    const path = `/v1/apply?wait=applied&timeout=${APPLY_TIMEOUT_MS}`;
    const options = { body: this.lab.resources, timeoutMs: APPLY_TIMEOUT_MS * 2 };
    succeeded(await client.request("POST", path, options));
  }

  /** Until nothing is missing; throws what is when that lasts too long. */
  async #until(findMissing: () => Promise<string | null>): Promise<void> {
    const deadline = performance.now() + SETTLE_TIMEOUT_MS;
    for (;;) {
      const missing = await findMissing();
      if (missing === null) return;
      if (performance.now() > deadline) throw new UserError(missing, EXIT_FAILED);
      await sleep(POLL_MS);
    }
  }

  /** A chassis that does not know another one yet, in one sentence; null when all do. */
  async #findUnknown(): Promise<string | null> {
    for (const { name, client } of this.#processes) {
      const known = await client.get<readonly { name: string }[]>("/v1/chassis");
      const unknown = this.lab.chassis.find((c) => !known.some((k) => k.name === c.name));
      if (unknown !== undefined) return `chassis ${name} does not know chassis ${unknown.name}`;
    }
    return null;
  }

  /** What is still missing, one sentence; null when nothing is. */
  async #findUnsettled(): Promise<string | null> {
    const unknown = await this.#findUnknown();
    if (unknown !== null) return unknown;
    const revisions = new Map<string, number>();
    for (const { name, client } of this.#processes) {
      const answer = succeeded(await client.request("GET", "/v1/ports"));
      const ports = answer.body as readonly { name: string; status: PortStatusView }[];
      for (const workload of this.lab.workloads) {
        const status = ports.find((port) => port.name === workload.name)?.status;
        if (status?.up === true) continue;
        const detail = status?.detail ?? "it has not heard of it";
        return `chassis ${name} says that port ${workload.name} is not up: ${detail}`;
      }
      revisions.set(name, answer.revision);
    }
    if (new Set(revisions.values()).size <= 1) return null;
    const each = [...revisions].map(([name, revision]) => `${name} ${revision}`);
    return `the chassis have different revisions: ${each.join(", ")}`;
  }
}

/** Takes the prefix for this process; what a dead lab left of it is removed first. */
async function claim(
  lab: Lab,
  record: { readonly prefix: string; readonly namespaces: string[] },
  onEvent: LabOptions["onEvent"],
): Promise<void> {
  const { prefix, namespaces } = record;
  if (claimRunDirectory(lab.name, prefix, namespaces)) return;
  const present = readLabRecord(prefix);
  if (present !== null && !ownerIsAlive(present)) {
    onEvent?.(`removing what a killed lab ${present.lab} (process ${present.pid}) left`);
    await cleanUp(present);
    if (claimRunDirectory(lab.name, prefix, namespaces)) return;
  }
  const owner = readLabRecord(prefix);
  const whose = owner === null ? "another lab" : `lab ${owner.lab} of process ${owner.pid}`;
  throw new UserError(
    `expected nobody to use the namespaces ${prefix}-…, but ${whose} does: end it with ` +
      `"rhone lab down ${prefix}", or choose another prefix with --prefix`,
    EXIT_FAILED,
  );
}
