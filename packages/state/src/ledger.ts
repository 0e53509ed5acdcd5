/**
 * Everything that a chassis holds, in memory: writes by what they are about, seals by who made
 * them, and the sums by which two chassis find what one of them lacks. Run by the control thread.
 */
import { hash } from "node:crypto";
import { compareText, type Entry } from "./record.ts";
import { type Settled, settle } from "./settle.ts";
import { type Portion, type Seal, sealKey, type Write } from "./write.ts";

/** Clock of the latest transaction of each chassis up to which nothing is missing. */
export type Vector = Readonly<Record<string, number>>;

/** Where a page ends: the seal that it ends with. */
export interface Cursor {
  readonly origin: string;
  readonly clock: number;
  readonly part: number;
}

export interface Page {
  readonly portions: readonly Portion[];
  /** null when nothing is left behind the page. */
  readonly next: Cursor | null;
}

/** Sums of parts of all that is held: two chassis that differ in few writes differ in few sums. */
export const BUCKETS = 1024;
export const SUM_SIZE = 16; // bytes
const SUM_WORDS = SUM_SIZE / 4;
/** Bytes that a seal adds to a page, without its hashes. */
const SEAL_SIZE = 160;
const HASH_SIZE = 32;
const TEXT_OVERHEAD = 4;

interface HeldSeal {
  readonly seal: Seal;
  readonly writes: Set<Write>;
}

export class Ledger {
  readonly #records = new Map<string, Settled>();
  readonly #seals = new Map<string, HeldSeal>();
  /** Keys of seals by origin, in the order of `compareSeals`; emptied ones are among them. */
  readonly #order = new Map<string, HeldSeal[]>();
  readonly #emptied = new Map<string, number>();
  readonly #sums = new Int32Array(BUCKETS * SUM_WORDS);
  readonly #vector = new Map<string, number>();
  #vectorView: Vector | null = null;
  #root: string | null = null;
  #revision = 0;
  readonly #partials = new Set<string>();

  /** The highest clock of all writes. */
  get revision(): number {
    return this.#revision;
  }

  /** Keys of which something could not be read or did not fit. */
  get partials(): ReadonlySet<string> {
    return this.#partials;
  }

  get vector(): Vector {
    this.#vectorView ??= Object.fromEntries(this.#vector);
    return this.#vectorView;
  }

  /** Equal at two chassis that hold the same: 16 hex digits. */
  get root(): string {
    this.#root ??= hash("sha256", new Uint8Array(this.#sums.buffer)).slice(0, 16);
    return this.#root;
  }

  get(key: string): Settled | undefined {
    return this.#records.get(key);
  }

  records(): Iterable<readonly [string, Settled]> {
    return this.#records;
  }

  /** Whether it holds something of a chassis that wrote something before that is missing. */
  get hasGap(): boolean {
    for (const [origin, seals] of this.#order) {
      const last = seals.at(-1);
      if (last !== undefined && last.seal.clock > this.clockOf(origin)) return true;
    }
    return false;
  }

  clockOf(origin: string): number {
    return this.#vector.get(origin) ?? 0;
  }

  /** The seal as it is held, if it is: then its signature has been checked. */
  sealLike(seal: Seal): Seal | undefined {
    return this.#seals.get(sealKey(seal))?.seal;
  }

  /** What the record of `key` becomes with `more`; the same object when they add nothing. */
  settled(key: string, more: readonly Write[]): Settled | undefined {
    const held = this.#records.get(key);
    const known = new Set(held?.writes.map(({ hash }) => hash));
    const news = more.filter(({ hash }) => !known.has(hash));
    if (news.length === 0) return held;
    const next = settle([...(held?.writes ?? []), ...news]);
    const isSame = held !== undefined && next.writes.every((write) => known.has(write.hash));
    return isSame ? held : next;
  }

  /**
   * Each takes the place of what is held of its key; no writes means nothing. Seals are listed in
   * their order, so that each finds its place at once.
   */
  replaceAll(records: ReadonlyMap<string, Settled>): void {
    const fresh = new Map<string, HeldSeal>();
    for (const { writes } of records.values()) {
      for (const { seal } of writes) {
        const key = sealKey(seal);
        if (!this.#seals.has(key)) fresh.set(key, { seal, writes: new Set() });
      }
    }
    for (const [key, held] of [...fresh].sort(([, a], [, b]) => compareHeld(a, b))) {
      this.#seals.set(key, held);
      this.#insert(held);
    }
    // First of all what is new: a seal must not go with its last write when another one comes.
    for (const [key, next] of records) this.#addNew(key, next);
    for (const [key, next] of records) this.#replace(key, next);
    for (const origin of this.#emptied.keys()) this.#tidy(origin);
  }

  #addNew(key: string, next: Settled): void {
    const known = new Set(this.#records.get(key)?.writes);
    for (const write of next.writes) if (!known.has(write)) this.#add(write);
  }

  #replace(key: string, next: Settled): void {
    const kept = new Set(next.writes);
    for (const write of this.#records.get(key)?.writes ?? []) {
      if (!kept.has(write)) this.#drop(write);
    }
    if (next.isPartial) this.#partials.add(key);
    else this.#partials.delete(key);
    if (next.writes.length === 0) this.#records.delete(key);
    else this.#records.set(key, next);
  }

  /** Nothing of `origin` up to `clock` is missing any more. */
  advance(origin: string, clock: number): void {
    if (clock <= this.clockOf(origin)) return;
    this.#vector.set(origin, clock);
    this.#vectorView = null;
  }

  /**
   * The writes that a chassis with `vector` may lack, in order of seals, behind `after`; about
   * `size` bytes of them, at least one seal.
   */
  behind(vector: Vector, after: Cursor | null, size: number): Page {
    const clockIn = (origin: string): number =>
      Object.hasOwn(vector, origin) ? vector[origin]! : 0;
    const origins = [...this.#order]
      .filter(([origin, order]) => order.at(-1)!.seal.clock > clockIn(origin))
      .map(([origin]) => origin);
    const found: HeldSeal[] = [];
    for (const origin of origins.sort(compareText)) {
      if (after !== null && compareText(origin, after.origin) < 0) continue;
      const order = this.#order.get(origin)!;
      for (let i = firstBehind(order, clockIn(origin)); i < order.length; i++) {
        const held = order[i]!;
        if (held.writes.size === 0 || (after !== null && !isBehind(held.seal, after))) continue;
        found.push(held);
      }
    }
    return paged(found, size);
  }

  /** All writes in `buckets`, in the same manner. */
  inBuckets(buckets: ReadonlySet<number>, after: Cursor | null, size: number): Page {
    const found: HeldSeal[] = [];
    for (const { seal, writes } of this.#seals.values()) {
      if (after !== null && !isBehind(seal, after)) continue;
      const some = [...writes].filter((write) => buckets.has(bucketOf(write)));
      if (some.length > 0) found.push({ seal, writes: new Set(some) });
    }
    return paged(found.sort(compareHeld), size);
  }

  /** The sum of each bucket: BUCKETS × SUM_SIZE bytes. */
  sums(): Uint8Array {
    return new Uint8Array(this.#sums.buffer.slice(0));
  }

  #add(write: Write): void {
    this.#seals.get(sealKey(write.seal))!.writes.add(write);
    this.#toggle(write);
    if (write.clock > this.#revision) this.#revision = write.clock;
  }

  #drop(write: Write): void {
    const key = sealKey(write.seal);
    const held = this.#seals.get(key)!;
    held.writes.delete(write);
    if (held.writes.size === 0) {
      this.#seals.delete(key);
      this.#emptied.set(write.origin, (this.#emptied.get(write.origin) ?? 0) + 1);
    }
    this.#toggle(write);
  }

  #insert(held: HeldSeal): void {
    const { origin } = held.seal;
    const order = this.#order.get(origin);
    if (order === undefined) {
      this.#order.set(origin, [held]);
      return;
    }
    let at = order.length;
    while (at > 0 && compareHeld(order[at - 1]!, held) > 0) at--;
    order.splice(at, 0, held);
  }

  /** Drops seals without writes once they are more than half of what is listed. */
  #tidy(origin: string): void {
    const order = this.#order.get(origin)!;
    if (this.#emptied.get(origin)! * 2 <= order.length) return;
    const left = order.filter(({ writes }) => writes.size > 0);
    if (left.length === 0) this.#order.delete(origin);
    else this.#order.set(origin, left);
    this.#emptied.delete(origin);
  }

  /** Into its sum, or out of it. */
  #toggle(write: Write): void {
    this.#root = null;
    const at = bucketOf(write) * SUM_WORDS;
    for (let word = 0; word < SUM_WORDS; word++) {
      this.#sums[at + word]! ^= Number.parseInt(write.hash.slice(word * 8, word * 8 + 8), 16);
    }
  }
}

/** Writes with the same key are about the same thing. */
export function keyOfWrite({ kind, name }: Write): string {
  return `${kind}/${name}`;
}

/** By kind and name. */
export function compareEntries(a: Entry, b: Entry): number {
  return compareText(a.kind, b.kind) || compareText(a.name, b.name);
}

/** The bits behind those that the sums are made of. */
function bucketOf({ hash }: Write): number {
  return Number.parseInt(hash.slice(SUM_SIZE * 2, SUM_SIZE * 2 + 3), 16) % BUCKETS;
}

function paged(found: readonly HeldSeal[], sizeMax: number): Page {
  const portions: Portion[] = [];
  let size = 0;
  for (const { seal, writes } of found) {
    const texts = [...writes].map(({ text }) => text);
    size += SEAL_SIZE + HASH_SIZE * seal.hashes.length;
    for (const text of texts) size += text.length + TEXT_OVERHEAD;
    if (size > sizeMax && portions.length > 0) {
      const { origin, clock, part } = portions.at(-1)!.seal;
      return { portions, next: { origin, clock, part } };
    }
    portions.push({ seal, texts });
  }
  return { portions, next: null };
}

function compareHeld({ seal: a }: HeldSeal, { seal: b }: HeldSeal): number {
  return compareText(a.origin, b.origin) || a.clock - b.clock || a.part - b.part;
}

function isBehind(seal: Seal, cursor: Cursor): boolean {
  return (
    (compareText(seal.origin, cursor.origin) ||
      seal.clock - cursor.clock ||
      seal.part - cursor.part) > 0
  );
}

/** Index of the first seal whose clock is greater than `clock`. */
function firstBehind(order: readonly HeldSeal[], clock: number): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (order[middle]!.seal.clock <= clock) low = middle + 1;
    else high = middle;
  }
  return low;
}
