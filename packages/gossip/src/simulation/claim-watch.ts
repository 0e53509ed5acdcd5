/**
 * Watches who has which port, from outside: what chassis claim, and whom each of them takes for the
 * holder. Looks at each change of each store.
 *
 *   twice      two chassis that know each other's claim, and ask the same of the port, both take
 *              themselves for its holder: the order of claims is none
 *   reclaimed  a chassis takes a port from another one in the same epoch, or from one that lives,
 *              or moves it without its guest, or claims it over and over
 *   stale      after the storm somebody claims what it does not have, or nobody has a port whose
 *              device is there
 *
 * Both sides of a partition may have a port that asks for neither (decision 19): they do not know
 * of each other's claims.
 */
import { type Claim, claimAt, claimsOf, holderOf } from "@rhone/state/claim";
import type { Entry } from "@rhone/state/record";
import type { Port } from "@rhone/state/schema";
import { get, type State } from "@rhone/state/state";
import type { Machine } from "./machine.ts";

/** What one chassis writes about one port within a while, whatever happens to it. */
const CLAIMS_MAX = 12;
const WHILE_MS = 1000;

/** Whom the chassis `self` takes for the holder of a port. */
export type Holder = (port: Port, claims: readonly Claim[], self: string) => string | undefined;

type Fail = (kind: "twice" | "reclaimed" | "stale", message: string) => void;

/** What a running chassis knows beside its state. */
export interface Claimant {
  /** Whether it holds a chassis for dead. */
  readonly isDead: (chassis: string) => boolean;
  /** Whose guest it hears just now. */
  readonly awake: () => string | null;
  readonly isUp: (port: string) => boolean;
}

interface Known {
  readonly claimant: Claimant;
  state: State;
  /** Ports that it takes itself for the holder of. */
  readonly holds: Set<string>;
  /** When it wrote about a port of late. */
  readonly wroteMs: Map<string, number[]>;
}

export class ClaimWatch {
  readonly #fail: Fail;
  readonly #count: (what: string) => void;
  readonly #holder: Holder;
  readonly #known = new Map<string, Known>();

  /** `holder` is what chassis make of claims; a mutant has another one. */
  constructor(fail: Fail, count: (what: string) => void, holder: Holder = holderOf) {
    this.#fail = fail;
    this.#count = count;
    this.#holder = holder;
  }

  started({ name }: Machine, state: State, claimant: Claimant): void {
    this.#known.set(name, { claimant, state, holds: new Set(), wroteMs: new Map() });
    for (const port of state.ports) this.#look(name, port.name);
  }

  stopped({ name }: Machine): void {
    this.#known.delete(name);
  }

  /** A store is in another state because of `entries`; `isOwn`: its chassis has written them. */
  changed(machine: Machine, entries: readonly Entry[], isOwn: boolean, state: State): void {
    const known = this.#known.get(machine.name);
    if (known === undefined) return;
    const before = known.state;
    known.state = state;
    const ports = new Set<string>();
    for (const { kind, name, value } of entries) {
      const said = value ?? get(before, kind, name)?.value;
      if (said?.kind === "binding") ports.add(said.port);
      if (said?.kind === "port") ports.add(said.name);
      // A claim counts while its chassis is known.
      if (said?.kind === "chassis") for (const port of state.ports) ports.add(port.name);
      const isClaim = isOwn && said?.kind === "binding" && said.chassis === machine.name;
      if (isClaim) this.#checkClaim(machine, known, said.port, before);
    }
    for (const port of ports) this.#look(machine.name, port);
  }

  /** Of all that run, when all hold the same and nothing happens any more. */
  checkEnd(): void {
    for (const [name, { state, claimant }] of this.#known) {
      for (const { value } of state.bindings) {
        const isOwn = value.chassis === name;
        if (isOwn && value.up !== claimant.isUp(value.port)) {
          this.#fail(
            "stale",
            `${name} claims ${value.port} as ${value.up ? "up" : "down"}: it is not`,
          );
        }
      }
      for (const port of state.ports) this.#checkHolder(name, port.value, state, claimant);
    }
  }

  /** Of a port that may be anywhere somebody has the device who could have it. */
  #checkHolder(name: string, port: Port, state: State, claimant: Claimant): void {
    const isFree = port.chassis === undefined && port.gateway === undefined;
    if (!isFree || port.device === undefined || !claimant.isUp(port.name)) return;
    const claims = claimsOf(state, port.name);
    const holder = this.#holder(port, claims, name);
    const isThere = holder !== undefined && this.#known.get(holder)?.claimant.isUp(port.name);
    if (claimAt(claims, name) === undefined) {
      this.#fail("stale", `${name} has the device of ${port.name} and does not claim it`);
    }
    if (!isThere) this.#fail("stale", `${port.name} is at ${holder}, which has no device of it`);
  }

  #checkClaim(machine: Machine, known: Known, name: string, before: State): void {
    const { name: self, world } = machine;
    this.#count("claims written");
    const since = world.nowMs - WHILE_MS;
    const wroteMs = (known.wroteMs.get(name) ?? []).filter((ms) => ms > since);
    known.wroteMs.set(name, [...wroteMs, world.nowMs]);
    if (wroteMs.length >= CLAIMS_MAX) {
      this.#fail("reclaimed", `${self} has claimed ${name} ${CLAIMS_MAX} times in a second`);
    }
    const port = get(known.state, "port", name)?.value;
    const claim = claimAt(claimsOf(known.state, name), self)?.value;
    if (claim === undefined || port === undefined || claim.standby === true) return;
    const claims = claimsOf(before, name);
    const own = claimAt(claims, self)?.value;
    const epochBefore = own === undefined || own.standby === true ? 0 : own.epoch;
    if (port.migration?.chassis === self) {
      const isMoved = port.migration.activate === true || known.claimant.awake() === name;
      const isNews = claim.epoch > epochBefore;
      if (isNews) this.#count("ports that moved");
      if (isNews && !isMoved) this.#fail("reclaimed", `${name} comes to ${self} without its guest`);
    } else if (port.chassis === undefined && port.gateway === undefined) {
      this.#checkTaking(self, known, port, { claims, epoch: claim.epoch, epochBefore });
    }
  }

  /** Of a port that may be anywhere: it is taken from the dead alone, and in a later epoch. */
  #checkTaking(
    self: string,
    known: Known,
    port: Port,
    {
      claims,
      epoch,
      epochBefore,
    }: { claims: readonly Claim[]; epoch: number; epochBefore: number },
  ): void {
    const last = this.#holder(port, claims, self);
    const hasNow = this.#holderAt(self, known, port.name) === self;
    const isTaken = hasNow && last !== undefined && last !== self;
    const isRaised = epoch > Math.max(1, epochBefore);
    if (!isTaken && !isRaised) return;
    this.#count("ports taken from the dead");
    const isDead = last !== undefined && last !== self && known.claimant.isDead(last);
    const isLater = epoch > (claimAt(claims, last ?? "")?.value.epoch ?? 0);
    if (isDead && isLater) return;
    const what = `${self} takes ${port.name} in epoch ${epoch} from ${last}`;
    this.#fail("reclaimed", `${what}, which ${isDead ? "has the same" : "is not dead"}`);
  }

  /** Looks at who takes itself for the holder of a port after `name` has heard of it. */
  #look(name: string, port: string): void {
    const known = this.#known.get(name)!;
    if (this.#holderAt(name, known, port) !== name) {
      known.holds.delete(port);
      return;
    }
    known.holds.add(port);
    for (const [other, theirs] of this.#known) {
      if (other === name || !theirs.holds.has(port)) continue;
      if (this.#knowOfEachOther(known, name, theirs, other, port)) {
        this.#fail("twice", `${name} and ${other} both have ${port}, and know it`);
      }
    }
  }

  #holderAt(self: string, { state }: Known, name: string): string | undefined {
    const port = get(state, "port", name)?.value;
    return port === undefined ? undefined : this.#holder(port, claimsOf(state, name), self);
  }

  #knowOfEachOther(ours: Known, we: string, theirs: Known, they: string, port: string): boolean {
    const isSame = (of: (state: State) => Entry | undefined): boolean => {
      const [a, b] = [of(ours.state), of(theirs.state)];
      return JSON.stringify(a) === JSON.stringify(b);
    };
    return (
      isSame((state) => get(state, "port", port)) &&
      [we, they].every((chassis) => {
        return isSame((state) => claimAt(claimsOf(state, port), chassis));
      })
    );
  }
}
