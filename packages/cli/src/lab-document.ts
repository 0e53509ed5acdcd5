/** The one document of a lab file that is for the lab itself: `kind: lab`. */
import { isIP } from "node:net";
import { isName } from "@rhone/state/document";
import { type Problem, problem } from "@rhone/state/problem";

export interface LabDocument {
  readonly name: string;
  readonly chassis: readonly { readonly name: string; readonly underlay: string }[];
  /** Names of the logical ports that get a namespace. */
  readonly workloads: readonly { readonly port: string }[];
}

/** The namespace of the network between the chassis, and each chassis' device into it. */
export const UNDERLAY = "underlay";

/** With its other parts, a socket's path of at most 107 bytes and a namespace's of 255. */
const LAB_NAME = /^[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?$/;
const CHASSIS_MAX = 64;
const WORKLOADS_MAX = 256;
const NAME = "1 to 63 of a-z, 0-9 and -, not - at an end";

/** The document, or all that is wrong with it; pointers are into `value`. */
export function parseLabDocument(value: unknown): LabDocument | readonly Problem[] {
  const problems: Problem[] = [];
  const lab = fieldsOf(value, "", ["kind", "name", "chassis", "workloads"], problems);
  const name = lab["name"];
  if (typeof name !== "string" || !LAB_NAME.test(name)) {
    problems.push(problem("/name", "1 to 31 of a-z, 0-9 and -, not - at an end", name));
  }
  const chassis = itemsOf(lab["chassis"], "/chassis", CHASSIS_MAX, problems).map((item, index) => {
    const at = `/chassis/${index}`;
    const { name, underlay } = fieldsOf(item, at, ["name", "underlay"], problems);
    if (!isName(name)) problems.push(problem(`${at}/name`, NAME, name));
    if (typeof underlay !== "string" || isIP(underlay) === 0) {
      problems.push(problem(`${at}/underlay`, "an IP address such as 192.168.100.1", underlay));
    }
    return { name: String(name), underlay: String(underlay) };
  });
  const workloads = itemsOf(lab["workloads"], "/workloads", WORKLOADS_MAX, problems).map(
    (item, index) => {
      const at = `/workloads/${index}`;
      const { port } = fieldsOf(item, at, ["port"], problems);
      if (!isName(port)) problems.push(problem(`${at}/port`, "the name of a port", port));
      return { port: String(port) };
    },
  );
  checkUnderlay(chassis, problems);
  checkNamespaces(chassis, workloads, problems);
  return problems.length > 0 ? problems : { name: String(name), chassis, workloads };
}

/** Names that the document may mean for chassis, also when something else in it is wrong. */
export function chassisNamesIn(value: unknown): string[] {
  const chassis = (value as { readonly chassis?: unknown } | null)?.chassis;
  const items: unknown[] = Array.isArray(chassis) ? chassis : [];
  return items.flatMap((item) => {
    const name = (item as { readonly name?: unknown } | null)?.name;
    return isName(name) ? [name] : [];
  });
}

function fieldsOf(
  value: unknown,
  at: string,
  known: readonly string[],
  problems: Problem[],
): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    problems.push(problem(at, `an object with ${known.join(" and ")}`, value));
    return {};
  }
  const fields = value as Record<string, unknown>;
  for (const key of Object.keys(fields)) {
    if (known.includes(key)) continue;
    problems.push(problem(`${at}/${key}`, `one of the fields ${known.join(", ")}`, fields[key]));
  }
  return fields;
}

function itemsOf(value: unknown, at: string, max: number, problems: Problem[]): unknown[] {
  if (Array.isArray(value) && value.length >= 1 && value.length <= max) return value;
  const got = Array.isArray(value) && value.length > max ? `${value.length} items` : value;
  problems.push(problem(at, `a list of 1 to ${max} items`, got));
  return [];
}

/** The chassis talk over one network: one family, no address twice. */
function checkUnderlay(chassis: LabDocument["chassis"], problems: Problem[]): void {
  const [first] = chassis;
  const addresses = chassis.map(({ underlay }, index) => ({
    at: `/chassis/${index}/underlay`,
    name: underlay,
  }));
  checkUnique(addresses, new Map(), problems);
  for (const { at, name } of addresses) {
    if (isIP(name) === 0 || isIP(name) === isIP(first!.underlay)) continue;
    problems.push(problem(at, `an address of the family of ${first!.underlay}`, name));
  }
}

interface Named {
  readonly at: string;
  readonly name: string;
}

/** Chassis and workloads each get a namespace of their name. */
function checkNamespaces(
  chassis: LabDocument["chassis"],
  workloads: LabDocument["workloads"],
  problems: Problem[],
): void {
  const names = [
    ...chassis.map(({ name }, index) => ({ at: `/chassis/${index}/name`, name })),
    ...workloads.map(({ port }, index) => ({ at: `/workloads/${index}/port`, name: port })),
  ];
  checkUnique(names, new Map([[UNDERLAY, "the underlay's namespace"]]), problems);
}

function checkUnique(
  names: readonly Named[],
  taken: Map<string, string>,
  problems: Problem[],
): void {
  for (const { at, name } of names) {
    const owner = taken.get(name);
    if (owner === undefined) taken.set(name, at);
    else problems.push(problem(at, `something else than ${owner} has`, name));
  }
}
