/**
 * Watches a simulation from outside and says what must never happen. It sees what users were told,
 * what each disk has kept, and what each store says; it knows nothing of how they came to it.
 *
 *   invented   a store holds what nobody wrote, or wrote otherwise: one version, one content
 *   clock      an origin gives a version that is not later than all that it gave before
 *   backwards  a store goes back to an earlier version
 *   lost       an acknowledged write is gone although a disk that held it survived
 *   unread     a chassis does not show a write right after it acknowledged it
 *   undead     what was deleted is back, without anybody having put it again
 *   apart      live stores differ although nothing was wrong for long enough
 *   unbounded  something grows that has a limit
 *   threw      an exception that nobody caught
 */
import { type Chassis, compareFacts, type Fact, factsOf } from "./chassis.ts";
import type { Machine } from "./machine.ts";

type Entries = Parameters<typeof factsOf>[0][];

export type ViolationKind =
  | "invented"
  | "clock"
  | "backwards"
  | "lost"
  | "unread"
  | "undead"
  | "apart"
  | "unbounded"
  | "threw";

export interface Violation {
  readonly kind: ViolationKind;
  readonly message: string;
}

/** Facts by id. */
type Facts = Map<string, Fact>;

export class Oracle {
  violation: Violation | null = null;
  ackCount = 0;
  /** Acknowledged writes that were lost together with every disk that held them. */
  excusedCount = 0;
  readonly #authored = new Map<string, string>();
  /** The latest clock number that each origin has given. */
  readonly #clocks = new Map<string, number>();
  /** The latest write of each id that somebody was told is safe. */
  readonly #acknowledged: Facts = new Map();
  /** What each store has said, and what each disk has kept. */
  readonly #held = new Map<Machine, Facts>();
  readonly #kept = new Map<Machine, Facts>();

  constructor(machines: readonly Machine[]) {
    for (const machine of machines) {
      this.#held.set(machine, new Map());
      this.#kept.set(machine, new Map());
    }
  }

  fail(kind: ViolationKind, message: string): void {
    this.violation ??= { kind, message };
  }

  /** Ids that were ever written. */
  get idCount(): number {
    return this.#ids.size;
  }
  readonly #ids = new Set<string>();

  /** The disk has kept `entries`. */
  kept(machine: Machine, entries: Readonly<Entries>): void {
    const facts = this.#kept.get(machine)!;
    for (const fact of entries.flatMap(factsOf)) {
      facts.set(fact.id, fact);
      if (fact.origin === machine.name) this.#author(fact);
    }
  }

  /** A store says what it holds after a start: all of it. */
  started(machine: Machine, entries: Readonly<Entries>): void {
    const facts = new Map(entries.flatMap(factsOf).map((fact) => [fact.id, fact]));
    this.#held.set(machine, facts);
    for (const fact of facts.values()) this.#checkAuthor(machine, fact);
    for (const [id, kept] of this.#kept.get(machine)!) {
      const fact = facts.get(id);
      if (fact !== undefined && compareFacts(fact, kept) >= 0) continue;
      this.fail("lost", `${machine.name} started without ${describe(kept)}, has ${describe(fact)}`);
    }
  }

  /** A store says what has changed. */
  changed(machine: Machine, entries: Readonly<Entries>, source: "local" | "peer"): void {
    const facts = this.#held.get(machine)!;
    for (const fact of entries.flatMap(factsOf)) {
      if (source === "local") this.#author(fact);
      this.#checkAuthor(machine, fact);
      const before = facts.get(fact.id);
      if (before !== undefined && compareFacts(fact, before) < 0) {
        const change = `${machine.name} went from ${describe(before)} to ${describe(fact)}`;
        this.fail(before.isGone && !fact.isGone ? "undead" : "backwards", change);
      }
      facts.set(fact.id, fact);
    }
  }

  /** A user was told that `entries` are safe at `machine`. */
  acknowledged(machine: Machine, entries: Readonly<Entries>, { store }: Chassis): void {
    const shown = new Map(
      store
        .entries()
        .flatMap(factsOf)
        .map((fact) => [fact.id, fact]),
    );
    for (const fact of entries.flatMap(factsOf)) {
      this.ackCount++;
      const known = this.#acknowledged.get(fact.id);
      if (known === undefined || compareFacts(known, fact) < 0) {
        this.#acknowledged.set(fact.id, fact);
      }
      // From now on the disk has to have it, whatever it said.
      const kept = this.#kept.get(machine)!;
      const before = kept.get(fact.id);
      if (before === undefined || compareFacts(before, fact) < 0) kept.set(fact.id, fact);
      const now = shown.get(fact.id);
      if (now !== undefined && compareFacts(now, fact) >= 0) continue;
      this.fail("unread", `${machine.name} acknowledged ${describe(fact)}, has ${describe(now)}`);
    }
  }

  /** All that the disk of `machine` held is gone for good. */
  lostDisk(machine: Machine): void {
    const lost = this.#kept.get(machine)!;
    this.#kept.set(machine, new Map());
    this.#clocks.delete(machine.name);
    for (const [id, acknowledged] of this.#acknowledged) {
      if (!lost.has(id)) continue;
      const survivor = this.#latestKept(id);
      if (survivor !== undefined && compareFacts(survivor, acknowledged) >= 0) continue;
      this.excusedCount++;
      if (survivor === undefined) this.#acknowledged.delete(id);
      else this.#acknowledged.set(id, survivor);
    }
  }

  /** Whether all of `machines` hold the same; cheap while they do not. */
  areSame(machines: readonly Machine[]): boolean {
    return this.#difference(machines) === null;
  }

  /** When all is over: everybody has to hold the same, and everything that was acknowledged. */
  checkEnd(machines: readonly Machine[], entriesOf: (machine: Machine) => Readonly<Entries>): void {
    for (const machine of machines) {
      const real = entriesOf(machine).flatMap(factsOf);
      const held = this.#held.get(machine)!;
      const wrong = real.find((fact) => !isSame(fact, held.get(fact.id)));
      if (wrong === undefined && real.length === held.size) continue;
      const message = `${machine.name} has not told all: ${describe(wrong)} of ${real.length}`;
      this.fail("apart", message);
    }
    const difference = this.#difference(machines);
    if (difference !== null) this.fail("apart", difference);
    const facts = this.#held.get(machines[0]!)!;
    for (const acknowledged of this.#acknowledged.values()) {
      const fact = facts.get(acknowledged.id);
      if (fact !== undefined && compareFacts(fact, acknowledged) >= 0) continue;
      const message = `all have ${describe(fact)}, acknowledged was ${describe(acknowledged)}`;
      this.fail(acknowledged.isGone ? "undead" : "lost", message);
    }
  }

  #difference(machines: readonly Machine[]): string | null {
    const [first, ...others] = machines;
    const facts = this.#held.get(first!)!;
    for (const machine of others) {
      const theirs = this.#held.get(machine)!;
      for (const fact of facts.values()) {
        const their = theirs.get(fact.id);
        if (isSame(fact, their)) continue;
        return `${first!.name} has ${describe(fact)}, ${machine.name} ${describe(their)}`;
      }
      if (facts.size === theirs.size) continue;
      const more = [...theirs.values()].find(({ id }) => !facts.has(id));
      return `${first!.name} has nothing, ${machine.name} ${describe(more)}`;
    }
    return null;
  }

  #author(fact: Fact): void {
    const { id, origin, clock, text } = fact;
    const version = `${id} ${clock}@${origin}`;
    const known = this.#authored.get(version);
    if (known === text) return;
    if (known !== undefined) {
      this.fail("invented", `${version} was ${known}, and now ${origin} gives it to ${text}`);
      return;
    }
    this.#authored.set(version, text);
    this.#ids.add(id);
    const last = this.#clocks.get(origin) ?? 0;
    if (clock < last) this.fail("clock", `${origin} gives ${clock} after ${last}, to ${id}`);
    else this.#clocks.set(origin, clock);
  }

  #checkAuthor({ name }: Machine, { id, origin, clock, text }: Fact): void {
    const version = `${id} ${clock}@${origin}`;
    const known = this.#authored.get(version);
    if (known === text) return;
    const written = known === undefined ? "nobody wrote it" : `it was written as ${known}`;
    this.fail("invented", `${name} holds ${version} as ${text}, but ${written}`);
  }

  #latestKept(id: string): Fact | undefined {
    let latest: Fact | undefined;
    for (const facts of this.#kept.values()) {
      const fact = facts.get(id);
      if (fact === undefined) continue;
      if (latest === undefined || compareFacts(latest, fact) < 0) latest = fact;
    }
    return latest;
  }
}

function isSame(a: Fact, b: Fact | undefined): boolean {
  return (
    b !== undefined &&
    a.clock === b.clock &&
    a.origin === b.origin &&
    a.created === b.created &&
    a.text === b.text
  );
}

function describe(fact: Fact | undefined): string {
  if (fact === undefined) return "nothing";
  const { id, clock, origin, text, created } = fact;
  return `${id} ${clock}@${origin} (created ${created}) ${text.slice(0, 80)}`;
}
