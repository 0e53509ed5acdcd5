/**
 * Watches a simulation from outside and says what must never happen. It sees what users were told,
 * what each disk has kept, and what each replica holds; it knows nothing of how they came to it.
 *
 *   invented   somebody holds what nobody wrote
 *   clock      an origin gives a version that is not later than all that it gave before
 *   backwards  a replica forgets what it knew, although nothing has outlived it
 *   lost       an acknowledged write is gone although a disk that held it survived
 *   unread     a chassis does not show a write right after it acknowledged it, or in the end shows
 *              another document than the only one who writes it was told
 *   undead     what was deleted is back, without anybody having put it again
 *   apart      live chassis differ although nothing was wrong for long enough
 *   unbounded  something grows that has a limit
 *   early      packets begin under what somebody does not hold (passage.ts)
 *   mixed      a packet meets another state at its second half than at its first (passage.ts)
 *   twice, reclaimed, stale   of the ports of guests (claim-watch.ts)
 *   double     two chassis forward for one gateway (simulated-gateways.ts)
 *   threw      an exception that nobody caught
 */

import type { DiskRecord } from "@rhone/state/disk";
import type { Entry } from "@rhone/state/record";
import type { Commit, Store } from "@rhone/state/store";
import { hashOf, type Portion } from "@rhone/state/write";
import {
  areSame,
  describe,
  type Held,
  type Holdings,
  holdingsOf,
  isDeleted,
  isWithin,
  join,
  keyOfRecord,
} from "./holdings.ts";
import type { Machine } from "./machine.ts";

export type ViolationKind =
  | "invented"
  | "clock"
  | "backwards"
  | "lost"
  | "unread"
  | "undead"
  | "apart"
  | "unbounded"
  | "early"
  | "mixed"
  | "twice"
  | "reclaimed"
  | "stale"
  | "double"
  | "threw";

export interface Violation {
  readonly kind: ViolationKind;
  readonly message: string;
}

/** A document that one chassis alone writes, and what it may be in the end. */
interface Sole {
  readonly writer: Machine;
  /** The value that was acknowledged last, and those of which nobody knows what became of them. */
  values: string[];
}

export class Oracle {
  violation: Violation | null = null;
  ackCount = 0;
  /** Acknowledged writes that were lost together with every disk that held them. */
  excusedCount = 0;
  /** Hashes of all that was ever written. */
  readonly #authored = new Set<string>();
  readonly #keys = new Set<string>();
  /** The latest clock number that each origin has given. */
  readonly #clocks = new Map<string, number>();
  /** What users were told is safe. */
  readonly #acknowledged: Holdings = new Map();
  readonly #sole = new Map<string, Sole>();
  /** Machines whose disk was lost or damaged. */
  readonly #forgetful = new Set<Machine>();
  /** What each replica holds, and what each disk has kept. */
  readonly #held = new Map<Machine, Holdings>();
  readonly #kept = new Map<Machine, Holdings>();

  readonly #isWatching: boolean;

  /** One that is not `isWatching` only remembers what others find. */
  constructor(machines: readonly Machine[], isWatching = true) {
    this.#isWatching = isWatching;
    for (const machine of machines) {
      this.#held.set(machine, new Map());
      this.#kept.set(machine, new Map());
    }
  }

  /** Names that were ever written about. */
  get keyCount(): number {
    return this.#keys.size;
  }

  fail(kind: ViolationKind, message: string): void {
    this.violation ??= { kind, message };
  }

  /** A chassis writes, all in one transaction. What a crash interrupts is written, too. */
  authored({ name }: Machine, portions: readonly Portion[]): void {
    if (!this.#isWatching) return;
    const own = portions.filter(({ seal }) => seal.origin === name);
    for (const text of own.flatMap(({ texts }) => texts)) this.#authored.add(hashOf(text));
    const clock = own[0]?.seal.clock;
    if (clock === undefined) return;
    const last = this.#clocks.get(name) ?? 0;
    if (clock <= last) this.fail("clock", `${name} gives ${clock} after ${last}`);
    else this.#clocks.set(name, clock);
  }

  /** The disk has kept `records`. */
  kept(machine: Machine, records: readonly DiskRecord[]): void {
    if (!this.#isWatching) return;
    const kept = this.#kept.get(machine)!;
    for (const record of records) {
      kept.set(keyOfRecord(record), record.writes);
      const own = record.writes.filter(({ origin }) => origin === machine.name);
      for (const { hash } of own) this.#authored.add(hash);
      this.#keys.add(keyOfRecord(record));
    }
  }

  /** A replica has begun, with what its disk holds; returns that. */
  started(machine: Machine, store: Store): Holdings {
    if (!this.#isWatching) return new Map();
    const held = holdingsOf(store);
    this.#held.set(machine, held);
    for (const writes of held.values()) this.#checkAuthors(machine, writes);
    for (const [key, kept] of this.#kept.get(machine)!) {
      if (isWithin(kept, held.get(key))) continue;
      const message = `${machine.name} started without ${describe(kept)}`;
      this.fail("lost", `${message}, has ${describe(held.get(key))}`);
    }
    return held;
  }

  /** The replica has `records` from its own chassis among others; listeners hear of it later. */
  wrote({ name }: Machine, records: readonly DiskRecord[]): void {
    if (!this.#isWatching) return;
    for (const { hash, origin } of records.flatMap(({ writes }) => writes)) {
      if (origin === name) this.#authored.add(hash);
    }
  }

  /** A replica holds `records` now. */
  changed(machine: Machine, records: readonly DiskRecord[]): void {
    if (!this.#isWatching) return;
    const held = this.#held.get(machine)!;
    for (const record of records) {
      const key = keyOfRecord(record);
      const before = held.get(key) ?? [];
      held.set(key, record.writes);
      this.#keys.add(key);
      this.#checkAuthors(machine, record.writes);
      if (isWithin(before, record.writes)) continue;
      const change = `from ${describe(before)} to ${describe(record.writes)}`;
      this.fail("backwards", `${machine.name} went ${change}`);
    }
  }

  /** A user was told that `entries` are safe at `machine`. */
  acknowledged(machine: Machine, { entries }: Commit, store: Store): void {
    if (!this.#isWatching) return;
    const shown = new Map(store.entries().map((entry) => [keyOfRecord(entry), entry]));
    const held = this.#held.get(machine)!;
    const kept = this.#kept.get(machine)!;
    for (const entry of entries) {
      const key = keyOfRecord(entry);
      this.ackCount++;
      // Another part of a document may be another's; what was written is there.
      const isShown = textOf(shown.get(key)) === textOf(entry);
      const got = shown.get(key) === undefined ? "nothing" : textOf(shown.get(key));
      if (!isShown) this.fail("unread", `${machine.name} answered ${textOf(entry)}, shows ${got}`);
      const writes = (held.get(key) ?? []).filter(({ clock, origin }) => {
        return clock === entry.version.clock && origin === entry.version.origin;
      });
      this.#acknowledged.set(key, join(this.#acknowledged.get(key) ?? [], writes));
      // From now on the disk has to have it, whatever it said.
      kept.set(key, join(kept.get(key) ?? [], writes));
    }
  }

  /** The only one who writes a document was told that it is `value`, or not told anything. */
  toldSole(writer: Machine, key: string, value: string, isCertain: boolean): void {
    if (this.#forgetful.has(writer)) return;
    const sole = this.#sole.get(key);
    if (isCertain) this.#sole.set(key, { writer, values: [value] });
    else if (sole === undefined) this.#sole.set(key, { writer, values: ["null", value] });
    else sole.values.push(value);
  }

  /** What the disk of `machine` held is gone for good: of one name, or all of it. */
  lostDisk(machine: Machine, key?: string): void {
    const kept = this.#kept.get(machine)!;
    const lost = key === undefined ? [...kept.keys()] : [key];
    this.#clocks.delete(machine.name);
    // What it writes anew may lose against what it does not remember.
    for (const [key, { writer }] of this.#sole) if (writer === machine) this.#sole.delete(key);
    this.#forgetful.add(machine);
    for (const key of lost) {
      kept.delete(key);
      this.#excuse(key);
    }
  }

  /** When all is over: everybody has to hold the same, and everything that was acknowledged. */
  checkEnd(stores: ReadonlyMap<Machine, Store>): void {
    const [first, ...others] = stores.keys();
    const held = holdingsOf(stores.get(first!)!);
    const shown = JSON.stringify(stores.get(first!)!.entries());
    this.#checkTold(first!, held);
    for (const other of others) {
      const store = stores.get(other)!;
      const theirs = holdingsOf(store);
      this.#checkTold(other, theirs);
      const key = [...new Set([...held.keys(), ...theirs.keys()])].find((key) => {
        return !areSame(held.get(key) ?? [], theirs.get(key) ?? []);
      });
      if (key !== undefined) {
        const difference = `${first!.name} has ${describe(held.get(key))}, ${other.name}`;
        this.fail("apart", `${difference} ${describe(theirs.get(key))}`);
      }
      if (JSON.stringify(store.entries()) === shown) continue;
      this.fail("apart", `${first!.name} and ${other.name} make different documents of the same`);
    }
    for (const [key, acknowledged] of this.#acknowledged) {
      const all = held.get(key) ?? [];
      if (isWithin(acknowledged, all)) continue;
      const kind = isDeleted(acknowledged) && !isDeleted(all) ? "undead" : "lost";
      const what = `acknowledged was ${describe(acknowledged)}`;
      this.fail(kind, `all have ${describe(all)}, ${what}`);
    }
    this.#checkSole(stores.get(first!)!);
  }

  #checkSole(store: Store): void {
    const shown = new Map(store.entries().map((entry) => [keyOfRecord(entry), entry]));
    for (const [key, { writer, values }] of this.#sole) {
      const value = textOf(shown.get(key));
      if (values.includes(value)) continue;
      const expected = values.join(" or ");
      this.fail("unread", `${writer.name} alone wrote ${key} ${expected}, all show ${value}`);
    }
  }

  /** What we were told of a replica is what it holds. */
  #checkTold({ name }: Machine, real: Holdings): void {
    const [machine] = [...this.#held.keys()].filter((each) => each.name === name);
    for (const [key, writes] of this.#held.get(machine!)!) {
      if (areSame(writes, real.get(key) ?? [])) continue;
      const told = `${name} told of ${describe(writes)}`;
      this.fail("backwards", `${told}, holds ${describe(real.get(key))}`);
    }
  }

  #checkAuthors({ name }: Machine, writes: Held): void {
    const strange = writes.find(({ hash }) => !this.#authored.has(hash));
    if (strange !== undefined) this.fail("invented", `${name} holds ${strange.text.slice(0, 200)}`);
  }

  /** Nobody is held to what is on no disk any more. */
  #excuse(key: string): void {
    const acknowledged = this.#acknowledged.get(key);
    if (acknowledged === undefined) return;
    let survivors: Held = [];
    for (const kept of this.#kept.values()) survivors = join(survivors, kept.get(key) ?? []);
    if (isWithin(acknowledged, survivors)) return;
    this.excusedCount++;
    this.#acknowledged.set(key, survivors);
  }
}

/** Of the document; "null" when there is none. */
function textOf(entry: Entry | undefined): string {
  return JSON.stringify(entry?.value ?? null);
}
