/**
 * Which chassis has a port: decided from the replicated state alone, so the same everywhere. A
 * chassis says in a binding of its own that it has the port's device; of several claims, the best:
 *
 *   1. that of the chassis which the port asks for;
 *   2. of the higher epoch: it grows when the port moves, or when whoever had it is dead;
 *   3. of whoever claimed first;
 *   4. by rendezvous: the greater hash of port and chassis.
 *
 * Who loses does not claim again. It waits, and everybody sees that it does.
 */
import { createHash } from "node:crypto";
import { compareText, type LiveEntry } from "./record.ts";
import type { Binding, Port } from "./schema.ts";
import { get, type State } from "./state.ts";

export type Claim = LiveEntry<Binding>;

/** Of the port's name and of the chassis's: with a hyphen no longer than a name may be. */
const PORT_DIGITS = 40;
const CHASSIS_DIGITS = 20;

/** The same few names are asked for whenever anything changes. */
const DIGITS = new Map<string, string>();
const DIGITS_MAX = 4096;

/**
 * The name of the binding of a port at a chassis; both may be as long as a name can be, so they go
 * in as hashes. Those of one port stand next to each other.
 */
export function bindingName(port: string, chassis: string): string {
  return `${digitsOf(port, PORT_DIGITS)}-${digitsOf(chassis, CHASSIS_DIGITS)}`;
}

/** All claims of a port, of chassis that there are. */
export function claimsOf(state: State, port: string): Claim[] {
  const { bindings } = state;
  const prefix = digitsOf(port, PORT_DIGITS);
  let low = 0;
  let high = bindings.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareText(bindings[middle]!.name, prefix) < 0) low = middle + 1;
    else high = middle;
  }
  const claims: Claim[] = [];
  for (; bindings[low]?.name.startsWith(prefix); low++) claims.push(bindings[low]!);
  return claims.filter(({ value }) => get(state, "chassis", value.chassis) !== undefined);
}

/** The same for all ports at once. */
export function claimsByPort(state: State): (port: string) => readonly Claim[] {
  const chassis = new Set(state.chassis.map(({ name }) => name));
  const known = state.bindings.filter(({ value }) => chassis.has(value.chassis));
  const byPort = Map.groupBy(known, ({ value }) => value.port);
  return (port) => byPort.get(port) ?? [];
}

/**
 * The chassis that has the port, undefined when none does. A chassis that the port asks for has it
 * also while it says nothing of it; one that it moves to has it from the epoch on in which that one
 * is active.
 */
export function holderOf(port: Port, claims: readonly Claim[]): string | undefined {
  if (port.chassis === undefined) return bestOf(claims)?.value.chassis;
  const target = port.migration === undefined ? undefined : claimAt(claims, port.migration.chassis);
  return target !== undefined && isActivated(target, port, claims)
    ? target.value.chassis
    : port.chassis;
}

/** Whether the chassis that the port moves to has it already. */
export function isActivated({ value }: Claim, port: Port, claims: readonly Claim[]): boolean {
  const source = claimAt(claims, port.chassis!)?.value.epoch ?? 0;
  return !value.standby && value.epoch > source;
}

/** The best of those that do not stand by, undefined of none. */
export function bestOf(claims: readonly Claim[]): Claim | undefined {
  return claims.filter(({ value }) => !value.standby).toSorted(compareClaims)[0];
}

export function claimAt(claims: readonly Claim[], chassis: string): Claim | undefined {
  return claims.find(({ value }) => value.chassis === chassis);
}

/** The highest epoch of those that do not stand by, 0 of none. */
export function epochOf(claims: readonly Claim[]): number {
  return Math.max(0, ...claims.map(({ value }) => (value.standby ? 0 : value.epoch)));
}

/** The better one first. */
function compareClaims(a: Claim, b: Claim): number {
  return (
    b.value.epoch - a.value.epoch ||
    a.created.clock - b.created.clock ||
    compareText(weightOf(b.value), weightOf(a.value))
  );
}

function weightOf({ port, chassis }: Binding): string {
  return digitsOf(`${port}/${chassis}`, PORT_DIGITS);
}

function digitsOf(text: string, count: number): string {
  let digits = DIGITS.get(text);
  if (digits === undefined) {
    digits = createHash("sha256").update(text).digest("hex").slice(0, PORT_DIGITS);
    if (DIGITS.size === DIGITS_MAX) DIGITS.clear();
    DIGITS.set(text, digits);
  }
  return digits.slice(0, count);
}
