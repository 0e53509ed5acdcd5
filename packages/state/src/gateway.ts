/**
 * Gateways (`kind: gateway`): chassis that can stand in for each other at a port to the outside. A
 * port names its gateway in place of a chassis. What users of OVN know as an HA chassis group. Run
 * by the control thread.
 */
import { z } from "zod";
import type { Claim } from "./claim.ts";
import { name, optional, remark } from "./fields.ts";
import { type Problem, problem } from "./problem.ts";
import type { Entry } from "./record.ts";
import type { Port } from "./schema.ts";
import { get, type State } from "./state.ts";

export const MEMBERS_MAX = 16;
export const WITNESSES_MAX = 15;
export const PRIORITY_MAX = 32_767;

const memberSchema = z.strictObject({
  chassis: name,
  /** The highest forwards; of equal ones each has its share of the gateways. 0 by default. */
  priority: z.int().min(0).max(PRIORITY_MAX).exactOptional(),
  /** Forwards only while no other member can: it is to be taken down. */
  drained: z.boolean().exactOptional(),
});

export const gatewaySchema = z.strictObject({
  kind: z.literal("gateway"),
  name,
  members: z.array(memberSchema).min(1).max(MEMBERS_MAX),
  /** Chassis that have a say in who forwards, and never do themselves. */
  witnesses: z.array(name).max(WITNESSES_MAX).exactOptional(),
  description: remark.exactOptional(),
});

export type GatewayDocument = z.infer<typeof gatewaySchema>;

export interface GatewayMember {
  readonly chassis: string;
  readonly priority: number;
  readonly drained?: true;
}

export interface Gateway {
  readonly kind: "gateway";
  readonly name: string;
  readonly members: readonly GatewayMember[];
  readonly witnesses: readonly string[];
  readonly description?: string;
}

export function completeGateway(document: GatewayDocument): Gateway {
  const { kind, name, members, witnesses = [], description } = document;
  return {
    ...{ kind, name },
    members: members.map(({ chassis, priority = 0, drained }) => {
      return drained === true ? { chassis, priority, drained } : { chassis, priority };
    }),
    witnesses: [...witnesses],
    ...optional({ description }),
  };
}

/** All that is wrong with a gateway in itself. */
export function checkGateway(gateway: Gateway, pointer: string): Problem[] {
  const named = namedIn(gateway);
  return named.flatMap(({ chassis, at }, i) => {
    const isFirst = named.findIndex((other) => other.chassis === chassis) === i;
    return isFirst
      ? []
      : [problem(pointer + at, "each chassis once, as a member or as a witness", chassis)];
  });
}

interface Proposal {
  readonly pointer: string;
  readonly entry: Entry;
}

/** What gateways and ports name that `after` does not have, and ports that a gateway leaves. */
export function checkGatewayReferences(
  before: State,
  after: State,
  { entry, pointer }: Proposal,
): Problem[] {
  const { value } = entry;
  if (value?.kind === "port" && value.gateway !== undefined) {
    if (get(after, "gateway", value.gateway) !== undefined) return [];
    return [problem(`${pointer}/gateway`, "the name of a gateway that exists", value.gateway)];
  }
  if (value?.kind === "gateway") return checkChassis(before, after, value, pointer);
  if (entry.kind !== "gateway" || value !== null) return [];
  const users = portsOf(after, entry.name).map(({ name }) => name);
  if (users.length === 0) return [];
  const expected = `no port left that names gateway ${entry.name}`;
  return [problem(pointer, expected, users.join(", "))];
}

/** One that was named before may be gone meanwhile. */
function checkChassis(before: State, after: State, value: Gateway, pointer: string): Problem[] {
  const known = get(before, "gateway", value.name)?.value;
  const named = new Set(known === undefined ? [] : namedIn(known).map(({ chassis }) => chassis));
  return namedIn(value).flatMap(({ chassis, at }) => {
    const isKnown = named.has(chassis) || get(after, "chassis", chassis) !== undefined;
    return isKnown ? [] : [problem(pointer + at, "the name of a chassis that is known", chassis)];
  });
}

function namedIn({ members, witnesses }: Gateway): { chassis: string; at: string }[] {
  return [
    ...members.map(({ chassis }, i) => ({ chassis, at: `/members/${i}/chassis` })),
    ...witnesses.map((chassis, i) => ({ chassis, at: `/witnesses/${i}` })),
  ];
}

/** The ports that name a gateway, by name. */
export function portsOf(state: State, gateway: string): Port[] {
  return state.ports.filter(({ value }) => value.gateway === gateway).map(({ value }) => value);
}

/** Members and witnesses, each once: what two users wrote may name one as both. */
export function votersOf({ members, witnesses }: Gateway): string[] {
  return [...new Set([...members.map(({ chassis }) => chassis), ...witnesses])];
}

/**
 * Why two members may forward at the same time while they do not hear each other; undefined: they
 * cannot.
 */
export function warningOf(gateway: Gateway): string | undefined {
  if (gateway.members.length !== 2 || votersOf(gateway).length !== 2) return undefined;
  return (
    "two members without a witness: both forward while they do not hear each other; " +
    "name a third chassis as a witness"
  );
}

/** Of claims of a gateway's port, the highest epoch that others than `chassis` ever had. */
export function epochBeside(claims: readonly Claim[], chassis: string): number {
  const others = claims.filter(({ value }) => value.chassis !== chassis);
  return Math.max(0, ...others.map(({ value }) => value.epoch));
}
