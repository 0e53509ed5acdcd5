/**
 * Packets that could be on their way between any two chassis, looked at whenever a chassis holds or
 * begins other tables. A packet begins at one chassis under the tables that are begun there, and
 * meets at the other the newest that are held there and are not newer than those. What must not be:
 *
 *   early  A write begins, anywhere, that a chassis does not hold which its author took part with
 *          from when it compiled the write until then.
 *   mixed  Tables began as agreed, and a packet of theirs meets another state elsewhere. It may
 *          meet writes besides that were made at the same time as the newest of that state, by
 *          somebody who did not know of it; nothing may be missing.
 *
 * A chassis that was waited for in vain, that others held for dead, that has just started or that
 * the author of a write did not wait for is left out of both, until it begins the same as all that
 * are not, nobody has begun more, and all of them take part with it; so is what it wrote.
 * Tables that did not begin as agreed are left out of the second. How often either is, is counted.
 */

import type { DiskRecord } from "@rhone/state/disk";
import type { Vector } from "@rhone/state/ledger";
import type { Write } from "@rhone/state/write";
import type { Barrier, BeginCounts } from "../barrier/barrier.ts";
import { areSame, type Held, type Holdings, isWithin, keyOfRecord } from "./holdings.ts";
import type { Machine } from "./machine.ts";
import type { SimulatedTables, Table } from "./tables.ts";

/** Packets that were looked at, by what came of it. */
export interface PassageCounts {
  /** The same state at both halves. */
  same: number;
  /** With writes besides that were made at the same time. */
  concurrent: number;
  /** Under tables that did not begin as agreed: their writes were released one by one, */
  apart: number;
  /** or somebody was waited for in vain. */
  overdue: number;
  /** or they began at once, since a guest had come. */
  urgent: number;
  /** From or to a chassis that is left out. */
  leftOut: number;
  /** Under tables that are so old that the other does not hold them any more. */
  late: number;
}

/** What a chassis held about a name from one of its changes on. */
interface Turn {
  readonly changeCount: number;
  readonly held: Held;
}

/** A running chassis. */
export interface Station {
  readonly machine: Machine;
  readonly tables: SimulatedTables;
  readonly barrier: Barrier;
}

interface Known extends Station {
  readonly turns: Map<string, Turn[]>;
  changeCount: number;
  /** How many changes are in each edition of its tables. */
  readonly changeCounts: number[];
  /** What was compiled last. */
  compiled: Vector;
  counts: BeginCounts;
  begunAs: "agreed" | "apart" | "overdue" | "urgent";
  begunRoot: string;
  /** Editions that begin as soon as they are held. */
  readonly urgent: Set<number>;
  /** Up to which writes it has to begin before it counts again; null when it counts. */
  leftOutUntil: Map<string, number> | null;
}

interface Transaction {
  readonly origin: string;
  readonly clock: number;
  readonly writes: readonly Write[];
  /** What its author knew. */
  readonly known: Vector;
  /** Who has to hold it before it begins; null until it is compiled. */
  awaited: Set<Known> | null;
}

type Fail = (kind: "early" | "mixed", message: string) => void;

export class Passage {
  readonly counts: PassageCounts = {
    ...{ same: 0, concurrent: 0, apart: 0, overdue: 0, urgent: 0, leftOut: 0, late: 0 },
  };
  readonly #fail: Fail;
  readonly #stations = new Map<string, Known>();
  /** What has not begun anywhere. */
  readonly #pending = new Set<Transaction>();
  readonly #byClock = new Map<number, Transaction[]>();
  /** States that began somewhere as soon as they were held there. */
  readonly #urgentRoots = new Set<string>();
  /** By two roots, whether all of the one is in the other. */
  readonly #areWithin = new Map<string, boolean>();
  /** By two roots, whether who begins under the one may meet the other. */
  readonly #areConcurrent = new Map<string, boolean>();

  constructor(fail: Fail) {
    this.#fail = fail;
  }

  /** A chassis runs from now on; `holdings` are those of its first tables. */
  started(station: Station, holdings: Holdings): void {
    const { machine } = station;
    const turns = new Map<string, Turn[]>();
    for (const [key, held] of holdings) turns.set(key, [{ changeCount: 0, held }]);
    this.#stations.set(machine.name, {
      ...{ ...station, turns, changeCount: 0, changeCounts: [0], compiled: {} },
      ...{ counts: station.barrier.counts, begunAs: "agreed", leftOutUntil: new Map() },
      begunRoot: station.tables.begun.root,
      urgent: new Set(),
    });
    // What a crash interrupted may have been kept, and nobody was asked about it.
    const kept = Map.groupBy([...holdings.values()].flat(), ({ clock }) => clock);
    for (const [clock, writes] of kept) this.#learn(machine.name, writes, clock, {}, new Set());
  }

  stopped({ name }: Machine): void {
    const known = this.#stations.get(name);
    if (known === undefined) return;
    this.#leaveOut(known, []);
    this.#stations.delete(name);
  }

  /** A store holds `records` now; `vector` is its own. */
  changed({ name }: Machine, records: readonly DiskRecord[], vector: Vector): void {
    const known = this.#stations.get(name);
    if (known === undefined) return;
    const changeCount = ++known.changeCount;
    for (const record of records) {
      const turns = known.turns.get(keyOfRecord(record)) ?? [];
      known.turns.set(keyOfRecord(record), turns);
      turns.push({ changeCount, held: record.writes });
    }
    const writes = records.flatMap((record) => record.writes);
    this.#learn(name, writes, vector[name] ?? 0, vector, null);
  }

  /** A chassis has compiled all that it knows, and gives it to its workers. */
  published({ name }: Machine, edition: number, vector: Vector, isUrgent: boolean): void {
    const author = this.#stations.get(name);
    if (author === undefined) return; // Killed by the write that it was told of.
    author.changeCounts[edition] = author.changeCount;
    author.compiled = vector;
    if (isUrgent) author.urgent.add(edition);
    for (const transaction of this.#pending) {
      const { origin, clock, awaited } = transaction;
      if (origin !== name || awaited !== null || clock > (vector[name] ?? 0)) continue;
      const others = [...this.#stations.values()].filter((other) => {
        const doCount = other.leftOutUntil === null && author.leftOutUntil === null;
        return doCount && author.barrier.asks(other.machine.name);
      });
      transaction.awaited = new Set(others);
    }
  }

  /** The workers of a chassis hold other tables. */
  held({ name }: Machine): void {
    const to = this.#stations.get(name);
    if (to === undefined) return;
    for (const from of this.#stations.values()) if (from !== to) this.#look(from, to);
  }

  /** Packets begin under other tables at a chassis. */
  begun({ name }: Machine): void {
    const from = this.#stations.get(name);
    if (from === undefined) return;
    const { apart, overdue } = from.barrier.counts;
    const { counts } = from;
    const { edition, root } = from.tables.begun;
    // The same state a second time did not begin in another way.
    if (from.begunRoot !== root) from.begunAs = "agreed";
    if (apart > counts.apart) from.begunAs = "apart";
    if (overdue > counts.overdue) from.begunAs = "overdue";
    // Who begins at once says so to the others, who begin that state, too, when they hold it.
    if (from.urgent.has(edition)) this.#urgentRoots.add(root);
    if (this.#urgentRoots.has(root)) from.begunAs = "urgent";
    from.begunRoot = root;
    from.counts = from.barrier.counts;
    this.#checkBeginning(from);
    for (const station of this.#stations.values()) {
      const isBack = station.leftOutUntil !== null && this.#hasCaughtUp(station);
      if (isBack) station.leftOutUntil = null;
    }
    for (const to of this.#stations.values()) if (to !== from) this.#look(from, to);
  }

  /** A chassis does not wait any longer for others, or holds them for dead, or for alive again. */
  leftOut({ name }: Machine, names: readonly string[]): void {
    const clock = this.#stations.get(name)?.compiled[name] ?? 0;
    for (const other of names) {
      const known = this.#stations.get(other);
      if (known !== undefined) this.#leaveOut(known, [[name, clock]]);
    }
  }

  #leaveOut(known: Known, until: readonly (readonly [string, number])[]): void {
    known.leftOutUntil ??= new Map();
    for (const [origin, clock] of until) {
      known.leftOutUntil.set(origin, Math.max(clock, known.leftOutUntil.get(origin) ?? 0));
    }
    for (const { origin, awaited } of this.#pending) {
      if (origin === known.machine.name) awaited?.clear();
      else awaited?.delete(known);
    }
  }

  /** Takes in what a chassis wrote at `clock`, `known` being what it knew then. */
  #learn(
    name: string,
    writes: readonly Write[],
    clock: number,
    known: Vector,
    awaited: Set<Known> | null,
  ): void {
    const own = writes.filter(({ origin, clock: at }) => origin === name && at === clock);
    const same = this.#byClock.get(clock) ?? [];
    if (own.length === 0 || same.some(({ origin }) => origin === name)) return;
    const transaction = { origin: name, clock, writes: own, known, awaited };
    this.#byClock.set(clock, [...same, transaction]);
    this.#pending.add(transaction);
  }

  /** Each write that begins here before it does elsewhere is held by who is waited for. */
  #checkBeginning(from: Known): void {
    const { machine, tables, begunAs } = from;
    if (from.leftOutUntil !== null) return; // It may not even know whom to wait for.
    for (const transaction of this.#pending) {
      const { origin, clock, awaited, writes } = transaction;
      // After damage to a disk a vector may say more than is there.
      if (writes.some((write) => lacks(from, tables.begun, write))) continue;
      this.#pending.delete(transaction);
      for (const other of this.#stations.values()) {
        if (other.machine.name === origin) continue;
        const isAwaited = awaited?.has(other) && begunAs !== "overdue" && begunAs !== "urgent";
        if (!isAwaited) this.#leaveOut(other, [[origin, clock]]);
        else if (writes.some((write) => lacks(other, other.tables.newestHeld, write))) {
          const what = `${machine.name} begins what ${origin} wrote at ${clock}`;
          this.#fail("early", `${what}, ${other.machine.name} does not hold it`);
        }
      }
    }
  }

  /** Whether nobody has begun more, and all that count the same and take part with it. */
  #hasCaughtUp(known: Known): boolean {
    const { machine, barrier, tables, leftOutUntil } = known;
    const { begun } = tables;
    const isThere = ([origin, clock]: readonly [string, number]): boolean => {
      return (begun.vector[origin] ?? 0) >= clock;
    };
    const stations = [...this.#stations.values()];
    const counting = stations.filter((other) => other.leftOutUntil === null);
    return (
      counting.every(({ tables: theirs }) => theirs.begun.root === begun.root) &&
      [...leftOutUntil!].every(isThere) &&
      counting.every((other) => {
        return barrier.asks(other.machine.name) && other.barrier.asks(machine.name);
      }) &&
      stations.every((other) => this.#isWithin(other, known))
    );
  }

  /** Whether nothing has begun at `part` that has not at `whole`. */
  #isWithin(part: Known, whole: Known): boolean {
    const [ours, theirs] = [whole.tables.begun, part.tables.begun];
    if (ours.root === theirs.root) return true;
    const roots = `${theirs.root} ${ours.root}`;
    let isSo = this.#areWithin.get(roots);
    isSo ??= beyond(part, theirs, whole, ours).length === 0;
    this.#areWithin.set(roots, isSo);
    return isSo;
  }

  #look(from: Known, to: Known): void {
    const { counts } = this;
    const { begun } = from.tables;
    const met = to.tables.find(begun.revision);
    const isPair = from.barrier.asks(to.machine.name) && to.barrier.asks(from.machine.name);
    const isLeftOut = from.leftOutUntil !== null || to.leftOutUntil !== null || !isPair;
    if ((met ?? to.tables.begun).root === begun.root) counts.same++;
    else if (isLeftOut) counts.leftOut++;
    else if (from.begunAs !== "agreed") counts[from.begunAs]++;
    else if (met === null) counts.late++;
    else if (this.#isConcurrent(from, begun, to, met)) counts.concurrent++;
    else {
      const lacking = beyond(from, begun, to, met);
      const besides = beyond(to, met, from, begun);
      if ([...lacking, ...besides].every(({ origin }) => this.#isLeftOut(origin))) {
        counts.leftOut++; // Nobody is asked about what it writes: it begins where it is known.
        return;
      }
      const [missing] = lacking;
      const what = missing ?? besides.find((write) => this.#isKnown(write, begun.revision));
      const how = missing === undefined ? "with" : "without";
      const way = `from ${from.machine.name} to ${to.machine.name} of ${begun.revision}`;
      this.#fail("mixed", `a packet ${way} ends ${how} ${what?.text.slice(0, 160)}`);
    }
  }

  #isLeftOut(name: string): boolean {
    return this.#stations.get(name)?.leftOutUntil !== null;
  }

  /** Whether nothing is missing, and what is besides was made at the same time as the newest. */
  #isConcurrent(from: Known, begun: Table, to: Known, met: Table): boolean {
    const roots = `${begun.root} ${met.root}`;
    let isSo = this.#areConcurrent.get(roots);
    if (isSo === undefined) {
      const besides = beyond(to, met, from, begun);
      const isMissing = beyond(from, begun, to, met).length > 0;
      isSo = !isMissing && !besides.some((write) => this.#isKnown(write, begun.revision));
      this.#areConcurrent.set(roots, isSo);
    }
    return isSo;
  }

  /** Whether all whose writes have that clock knew of the write. */
  #isKnown({ origin, clock }: Write, revision: number): boolean {
    const authors = this.#byClock.get(revision) ?? [];
    return authors.every(({ known }) => (known[origin] ?? 0) >= clock);
  }
}

/** Writes in tables that say something which other tables do not know. */
function beyond(at: Known, tables: Table, other: Known, others: Table): Write[] {
  const found: Write[] = [];
  for (const key of at.turns.keys()) {
    const [ours, theirs] = [heldIn(at, tables, key), heldIn(other, others, key)];
    if (areSame(ours, theirs)) continue;
    found.push(...ours.filter((write) => !isWithin([write], theirs)));
  }
  return found;
}

function lacks(at: Known, tables: Table, write: Write): boolean {
  return !isWithin([write], heldIn(at, tables, keyOfRecord(write)));
}

/** What was known about a name when tables were compiled. */
function heldIn({ turns, changeCounts }: Known, { edition }: Table, key: string): Held {
  const changeCount = changeCounts[edition]!;
  return turns.get(key)?.findLast((turn) => turn.changeCount <= changeCount)?.held ?? [];
}
