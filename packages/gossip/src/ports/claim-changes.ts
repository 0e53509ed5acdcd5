/**
 * What this chassis is to say of ports whose devices are here: claims, as changes of the bindings
 * that are its own. Pure; run by the control thread whenever state, devices or members changed.
 *
 * A claim is written when it is new or other than it was, never because another one is better:
 * however often two chassis look, who loses has nothing to write.
 */
import {
  bestOf,
  bindingName,
  type Claim,
  claimsOf,
  epochOf,
  isActivated,
} from "@rhone/state/claim";
import type { Binding, BindingDocument, Port } from "@rhone/state/schema";
import { get, type State } from "@rhone/state/state";
import type { Change } from "@rhone/state/store";

/** A device of a port at this chassis, or that should be there. */
export interface ClaimedDevice {
  readonly port: string;
  /** "up" when it is open; any other is not. */
  readonly phase: string;
  /** What there is to say of it, mostly "". */
  readonly detail: string;
}

export interface Claimant {
  readonly chassis: string;
  readonly devices: readonly ClaimedDevice[];
  /** Whether who claims is dead, and has claimed nothing since. */
  isDead(claim: Claim): boolean;
  /** Whether the guest of a port that moves here has been heard. */
  isAwake(port: string): boolean;
  /** Whether this chassis forwards for a gateway, and why not. */
  turnAt(gateway: string): GatewayTurn;
}

export interface GatewayTurn {
  readonly isActive: boolean;
  /** Of its lease; 0 without. */
  readonly epoch: number;
  /** Why it does not forward; "" when it does. */
  readonly text: string;
}

/** What a claim says beside what it is about. */
type Words = Pick<Binding, "epoch" | "up"> & {
  readonly standby: boolean;
  /** What there is to say of a device that is up; "" when it is left out. */
  readonly remark?: string;
};

export function claimChanges(state: State, claimant: Claimant): Change[] {
  const { chassis, devices } = claimant;
  const changes: Change[] = [];
  const gone = new Map(
    state.bindings
      .filter(({ value }) => value.chassis === chassis)
      .map(({ name, value }) => [name, value]),
  );
  for (const { port, phase, detail } of devices) {
    const name = bindingName(port, chassis);
    const words = wordsOf(state, claimant, port, phase === "up");
    if (words === null) continue;
    const before = gone.get(name);
    gone.delete(name);
    const { remark = "", ...claim } = words;
    const said = claim.up && remark !== "" ? remark : detail;
    if (before !== undefined && isSame(before, claim, said)) continue;
    const document = { kind: "binding" as const, name, port, chassis, ...claim, detail: said };
    changes.push({ op: "put", document: document satisfies BindingDocument });
  }
  for (const name of gone.keys()) changes.push({ op: "delete", kind: "binding", name });
  return changes;
}

function isSame(before: Binding, { epoch, standby, up }: Words, detail: string): boolean {
  const isStandby = before.standby ?? false;
  const isSameClaim = before.epoch === epoch && isStandby === standby && before.up === up;
  return isSameClaim && (before.detail ?? "") === detail;
}

/** null: the chassis does not claim the port. */
function wordsOf(state: State, claimant: Claimant, name: string, up: boolean): Words | null {
  const port = get(state, "port", name)?.value;
  const { chassis } = claimant;
  if (port === undefined) return null;
  if (port.gateway !== undefined) return wordsOfMember(state, claimant, name, port.gateway, up);
  const own = get(state, "binding", bindingName(name, chassis));
  const others = claimsOf(state, name).filter(({ value }) => value.chassis !== chassis);
  if (port.chassis === chassis) {
    return { epoch: epochWhereAskedFor(port, own, others), standby: false, up };
  }
  if (port.migration?.chassis === chassis) {
    const hasMoved = own !== undefined && isActivated(own, port, [...others, own]);
    if (hasMoved) return { epoch: own.value.epoch, standby: false, up };
    const isAwake = up && (port.migration.activate === true || claimant.isAwake(name));
    return { epoch: epochOf(others) + 1, standby: !isAwake, up };
  }
  // Of a port that may be anywhere only who can have it now says so.
  if (port.chassis !== undefined || !up) return null;
  // Who stood by had not claimed it: the next time that it looks it does so anew, after all others.
  if (own?.value.standby === true) return null;
  return { epoch: epochAnywhere(claimant, own, others), standby: false, up };
}

/** Who does not forward keeps the epoch that it had: it is known then that there was one. */
function wordsOfMember(
  state: State,
  claimant: Claimant,
  name: string,
  gateway: string,
  up: boolean,
): Words {
  const { isActive, epoch, text } = claimant.turnAt(gateway);
  const known = get(state, "binding", bindingName(name, claimant.chassis))?.value.epoch ?? 1;
  return { epoch: isActive ? epoch : known, standby: !isActive, up, remark: text };
}

/** Above all others, for when the port moves; but it does not take back one that has moved. */
function epochWhereAskedFor(
  { migration }: Port,
  own: Claim | undefined,
  others: readonly Claim[],
): number {
  const epoch = own === undefined || own.value.standby ? 0 : own.value.epoch;
  const isBelow = migration === undefined && epoch <= epochOf(others);
  return isBelow ? epochOf(others) + 1 : Math.max(1, epoch);
}

/** As it was, unless whoever is better is dead and nobody who lives is better than this chassis. */
function epochAnywhere(
  claimant: Claimant,
  own: Claim | undefined,
  others: readonly Claim[],
): number {
  const mine = own === undefined || own.value.standby ? [] : [own];
  const epoch = mine[0]?.value.epoch ?? 1;
  const best = bestOf([...others, ...mine]);
  if (best === undefined || best === own || !claimant.isDead(best)) return epoch;
  const living = others.filter((claim) => !claimant.isDead(claim));
  const isNext = bestOf([...living, ...mine]) === mine[0];
  return isNext ? epochOf(others) + 1 : epoch;
}
