/**
 * The routers under test: labs of one to three chassis with two workloads in two switches and a
 * router between them, made as a user makes them; and the processors that everything runs on.
 */
import { readdirSync, readFileSync } from "node:fs";
import { type RunningLab, startLab } from "@rhone/cli/lab";
import { parseLab } from "@rhone/cli/lab-file";
import type { Driver, TunnelDriver } from "@rhone/cli/namespaces";
import { runOrThrow } from "@rhone/cli/run";
import type { Options } from "./case.ts";

export type Router = RunningLab;

export const CLIENT = "client";
export const SERVER = "server";
export const CLIENT_ADDRESS = "10.1.0.10";
export const SERVER_ADDRESS = "10.2.0.10";
/** The load and the ends run here, the router there. */
export const LOAD_PROCESSOR = "0";
export const ROUTER_PROCESSOR = "1";

const TICKS_PER_SECOND = 100; // USER_HZ

export interface LabSpec {
  readonly name: string;
  readonly chassis: 1 | 2 | 3;
  readonly driver: Driver;
  /** What carries the tunnel; UDP sockets when left out. */
  readonly tunnelDriver?: TunnelDriver;
  readonly workers: number;
  /** Whether it may run on the load's processor, too. */
  readonly isFree?: boolean;
  /** Whether SIGUSR2 kills a worker. */
  readonly isMortal?: boolean;
  /** Rules that match nothing here, in front of those that allow the traffic. */
  readonly rules: number;
}

/** A lab that is up and whose chassis run on their processor. */
export async function startRouter(spec: LabSpec, options: Options): Promise<Router> {
  if (spec.isMortal === true && options.runtime !== "node") {
    throw new Error(`expected Node, which loads what kills a worker, got ${options.runtime}`);
  }
  const lab = parseLab(labText(spec), `bench ${spec.name}`);
  const { driver, tunnelDriver = "udp", workers } = spec;
  const prefix = `rhone-bench${process.pid}-${spec.name}-${options.runtime}`;
  const killer = `--import ${import.meta.resolve("@rhone/testbed/worker-killer")}`;
  if (spec.isMortal === true) process.env["NODE_OPTIONS"] = killer;
  const drivers = { driver, tunnelDriver };
  const running = await startLab({ lab, prefix, ...drivers, workers, runtime: options.runtime });
  delete process.env["NODE_OPTIONS"];
  for (const { process: chassis } of spec.isFree === true ? [] : running.chassis) {
    for (const pid of treeOf(chassis.pid!)) await pin(pid, ROUTER_PROCESSOR);
  }
  return running;
}

/** Moves a process with all of its threads. */
export async function pin(pid: number, processor: string): Promise<void> {
  await runOrThrow(["taskset", "-a", "-p", "-c", processor, String(pid)]);
}

/** Seconds of processor time that processes with their threads have used, children included. */
export function processorSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids.flatMap(treeOf)) {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]); // utime and stime, proc(5)
  }
  return ticks / TICKS_PER_SECOND;
}

/** A process and all below it. */
function treeOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const text = readFileSync(`/proc/${entry}/stat`, "utf8");
      const parent = Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
    } catch {
      // It has ended meanwhile.
    }
  }
  const found = [pid];
  for (let i = 0; i < found.length; i++) found.push(...(children.get(found[i]!) ?? []));
  return found;
}

function labText({ name, chassis, rules }: LabSpec): string {
  const names = ["left", "right", "middle"].slice(0, chassis);
  const documents = [
    {
      ...{ kind: "lab", name: `bench-${name}`.slice(0, 20) },
      chassis: names.map((name, i) => ({ name, underlay: `192.168.99.${i + 1}` })),
      workloads: [{ port: CLIENT }, { port: SERVER }],
    },
    { kind: "switch", name: "front" },
    { kind: "switch", name: "back" },
    {
      ...{ kind: "router", name: "middle" },
      ports: [
        { name: "middle-front", switch: "front", addresses: ["10.1.0.1/24"] },
        { name: "middle-back", switch: "back", addresses: ["10.2.0.1/24"] },
      ],
    },
    { ...port(CLIENT, "front", CLIENT_ADDRESS), chassis: names[0] },
    { ...port(SERVER, "back", SERVER_ADDRESS), chassis: names[Math.min(1, chassis - 1)] },
    ...Array.from({ length: rules }, (_, i) => ({
      ...{ kind: "acl", name: `deny-${i}`, switch: "front", direction: "from-port" },
      ...{ priority: 1000, action: "drop" },
      match: { protocol: "tcp", destination: `172.16.${i & 255}.0/24`, destinationPorts: "22" },
    })),
  ];
  return documents.map((document) => JSON.stringify(document)).join("\n---\n");
}

function port(name: string, at: string, address: string): object {
  return { kind: "port", name, switch: at, addresses: [address], device: name };
}
