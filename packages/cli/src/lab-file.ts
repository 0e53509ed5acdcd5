/**
 * A lab file: one document `kind: lab` and the resource documents that the REST API takes, checked
 * in full before anything is built.
 */
import { BlockList, isIP } from "node:net";
import { createMemoryStore } from "@rhone/state/memory-store";
import { type Problem, problem } from "@rhone/state/problem";
import type { Port } from "@rhone/state/schema";
import { get, type State } from "@rhone/state/state";
import type { Change } from "@rhone/state/store";
import { chassisNamesIn, type LabDocument, parseLabDocument, UNDERLAY } from "./lab-document.ts";
import { UserError } from "./user-error.ts";
import {
  locateProblem,
  parseYaml,
  readYamlFile,
  splitPointer,
  type YamlDocument,
} from "./yaml-documents.ts";

export interface Lab {
  readonly name: string;
  readonly chassis: readonly { readonly name: string; readonly underlay: string }[];
  readonly workloads: readonly Workload[];
  /** What is posted to the REST API. */
  readonly resources: readonly unknown[];
}

/**
 * A logical port with a program behind it: a namespace with one device. That of a gateway's port is
 * the outside, with a cable to each member.
 */
export interface Workload {
  /** The port's. */
  readonly name: string;
  readonly switch: string;
  /** The port's, or the members of its gateway. */
  readonly chassis: readonly string[];
  readonly gateway: string | undefined;
  /** The chassis' end of a cable. */
  readonly device: string;
  readonly driver: Port["driver"];
  readonly mac: string;
  readonly addresses: readonly WorkloadAddress[];
}

export interface WorkloadAddress {
  readonly family: 4 | 6;
  readonly address: string;
  readonly prefixLength: number;
  /** The router in the same network and its address there; undefined without a router. */
  readonly gateway: string | undefined;
  readonly router: string | undefined;
}

/** A chassis says how many workers it can have; here it is not known yet. */
const WORKERS_MAX = 16;
const PREFIX_LENGTH_ALONE = { 4: 24, 6: 64 } as const; // On a switch without a router.

/** Throws UserError with every mistake: file, line, document, field, expected and got. */
export function readLabFile(path: string): Lab {
  return labOf(readYamlFile(path), path);
}

/** The same for a text; `path` is how errors name it. */
export function parseLab(text: string, path: string): Lab {
  return labOf(parseYaml(text, path), path);
}

/** Whether a document is for the lab and not for the REST API. */
export function isLabDocument({ value }: YamlDocument): boolean {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "lab";
}

function labOf(documents: readonly YamlDocument[], path: string): Lab {
  const labs = documents.filter(isLabDocument);
  const [labDocument] = labs;
  if (labDocument === undefined || labs.length > 1) {
    throw new UserError(`${path}: expected one document with "kind: lab", got ${labs.length}`);
  }
  const resources = documents.filter((document) => !isLabDocument(document));
  const store = createMemoryStore("lab");
  // Documents may name the chassis of the lab, as they may once these run.
  store.transact(chassisNamesIn(labDocument.value).map(announcementOf), "chassis");
  const outcome = store.transact(
    resources.map(({ value }) => ({ op: "put", document: value })),
    "user",
  );
  const wrong = outcome.ok ? [] : locateAll(path, resources, outcome.error.problems);
  const lab = parseLabDocument(labDocument.value);
  const inLab = isProblems(lab) ? lab : outcome.ok ? checkReferences(lab, store.snapshot()) : [];
  wrong.push(...inLab.map((found) => locateProblem(path, labDocument, found.pointer, found)));
  if (isProblems(lab) || wrong.length > 0) throw new UserError(wrong.join("\n"));
  const state = store.snapshot();
  return {
    name: lab.name,
    chassis: lab.chassis,
    workloads: lab.workloads.map(({ port }) => workloadOf(state, get(state, "port", port)!.value)),
    resources: resources.map(({ value }) => value),
  };
}

/** Every problem as a line for the user; pointers start with the index of a resource. */
export function locateAll(
  path: string,
  resources: readonly YamlDocument[],
  problems: readonly Pick<Problem, "pointer" | "expected" | "got">[],
): string[] {
  return problems.map((found) => {
    const split = splitPointer(found.pointer);
    const document = split === null ? undefined : resources[split.index];
    if (split === null || document === undefined) {
      return `${path}: ${found.pointer}: expected ${found.expected}, got ${found.got}`;
    }
    return locateProblem(path, document, split.rest, found);
  });
}

function announcementOf(name: string, index: number): Change {
  const underlay = `2001:db8::${(index + 1).toString(16)}`; // For documentation: never looked at.
  const sizes = { workers: WORKERS_MAX, workersMax: WORKERS_MAX };
  return { op: "put", document: { kind: "chassis", name, underlay, ...sizes, version: "lab" } };
}

function isProblems(lab: LabDocument | readonly Problem[]): lab is readonly Problem[] {
  return Array.isArray(lab);
}

/** What the lab says about ports must hold in the resources. */
function checkReferences(lab: LabDocument, state: State): Problem[] {
  return lab.workloads.flatMap(({ port: name }, index) => {
    const at = `/workloads/${index}/port`;
    const port = get(state, "port", name)?.value;
    if (port === undefined) return [problem(at, "the name of a port in this file", name)];
    if (port.device === undefined) {
      return [problem(at, "a port with a device, and a chassis or a gateway", name)];
    }
    if (port.device === UNDERLAY || port.device === "lo") {
      return [problem(at, `a port whose device is not called ${UNDERLAY} or lo`, port.device)];
    }
    if (port.driver === "tap") {
      return [problem(at, "a port with another driver: a lab lays cables", `${name} with tap`)];
    }
    if (port.gateway !== undefined) return [];
    if (lab.chassis.some((chassis) => chassis.name === port.chassis)) return [];
    const where = port.chassis === undefined ? "no chassis" : `chassis ${port.chassis}`;
    return [problem(at, "a port on a chassis of this lab, or of a gateway", `${name} on ${where}`)];
  });
}

function workloadOf(state: State, port: Port): Workload {
  const { gateway } = port;
  const members = gateway === undefined ? [] : get(state, "gateway", gateway)!.value.members;
  return {
    name: port.name,
    switch: port.switch,
    chassis: gateway === undefined ? [port.chassis!] : members.map(({ chassis }) => chassis),
    gateway,
    device: port.device!,
    driver: port.driver,
    mac: port.mac,
    addresses: port.addresses.map((address) => addressOf(state, port.switch, address)),
  };
}

function addressOf(state: State, switchName: string, address: string): WorkloadAddress {
  const family = isIP(address) === 6 ? 6 : 4;
  const interfaces = state.routers.flatMap(({ name: router, value: { ports } }) =>
    ports
      .filter((port) => port.switch === switchName)
      .flatMap((port) => port.addresses.map((text) => ({ router, text }))),
  );
  for (const { router, text } of interfaces) {
    const [gateway, length] = text.split("/");
    if (isIP(gateway!) !== family) continue;
    const network = new BlockList();
    network.addSubnet(gateway!, Number(length), `ipv${family}`);
    if (!network.check(address, `ipv${family}`)) continue;
    return { family, address, prefixLength: Number(length), gateway: gateway!, router };
  }
  const prefixLength = PREFIX_LENGTH_ALONE[family];
  return { family, address, prefixLength, gateway: undefined, router: undefined };
}
