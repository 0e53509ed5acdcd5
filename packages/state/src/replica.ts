/**
 * The store without its disk: transactions, merging, listeners. What keeps the writes is handed in,
 * so that every kind of store behaves the same. Run by the control thread.
 */
import {
  AHEAD_TICKS_MAX,
  EXPIRY_STEP_TICKS,
  type SetTimer,
  TOMBSTONE_TICKS,
  TOMBSTONE_TICKS_MAX,
  ticksAt,
} from "./clock.ts";
import type { Disk, Stored } from "./disk.ts";
import { Examiner } from "./examiner.ts";
import {
  type Cursor,
  compareEntries,
  keyOfWrite,
  Ledger,
  type Page,
  type Vector,
} from "./ledger.ts";
import { failure, type Result } from "./problem.ts";
import { CLOCK_MAX, type Entry, isLive, keyOf, type Version } from "./record.ts";
import { difference, hasRegisters, registersOf, unknownFields } from "./registers.ts";
import type { Document } from "./schema.ts";
import { seal } from "./seal.ts";
import { isWhole, type Settled } from "./settle.ts";
import type { Signer } from "./signer.ts";
import { EMPTY_STATE, type State, withEntries } from "./state.ts";
import type { Author, Change, Commit, Companion, Listener, Merged, Store } from "./store.ts";
import { type Proposal, validate } from "./validate.ts";
import { readWishes, type Wish, wishOf } from "./wish.ts";
import {
  deleteText,
  isOwn,
  latestOf,
  type Portion,
  putText,
  readWrite,
  setText,
  type Write,
} from "./write.ts";
import { GONE, WriteBehind } from "./write-behind.ts";

export interface ReplicaOptions {
  /** Name of the chassis whose changes the store makes. */
  readonly origin: string;
  readonly disk: Disk;
  readonly stored?: Stored;
  /** null when the chassis belongs to no cluster: it signs nothing and believes everything. */
  readonly signer?: Signer | null;
  /** Milliseconds since 1970, of a clock that does not step. Left out: it is always 1970. */
  readonly wallClock?: () => number;
  /** For what peers wrote, which goes to the disk a little later. Left out: at once. */
  readonly setTimer?: SetTimer | undefined;
}

/** Writes about one name, before one takes the place of all of them. */
const WRITES_MAX = 64;

const NOTHING: Stored = { portions: [], vector: {}, repair: null };

export class Replica implements Store {
  readonly #origin: string;
  readonly #disk: WriteBehind;
  readonly #signer: Signer | null;
  readonly #wallClock: () => number;
  readonly #ledger = new Ledger();
  readonly #examiner: Examiner;
  readonly #listeners = new Set<Listener>();
  readonly #news: Parameters<Listener>[] = [];
  #state: State = EMPTY_STATE;
  #isTelling = false;
  /** Deletions of clocks below it are forgotten. */
  #expiredTo = 0;

  constructor(options: ReplicaOptions) {
    const { origin, disk, stored = NOTHING, signer = null, wallClock = () => 0 } = options;
    this.#origin = origin;
    this.#signer = signer;
    this.#wallClock = wallClock;
    const { repair } = stored;
    this.#disk = new WriteBehind({
      disk,
      ledger: this.#ledger,
      repair,
      setTimer: options.setTimer,
    });
    this.#examiner = new Examiner(this.#ledger, signer);
    const writes = stored.portions.flatMap((portion) =>
      portion.texts.flatMap((text) => readWrite(text, portion.seal) ?? []),
    );
    this.#ledger.replaceAll(this.#settle(writes));
    for (const [name, clock] of Object.entries(stored.vector)) this.#ledger.advance(name, clock);
    this.#signAll();
    this.#follow(this.#allEntries());
  }

  snapshot(): State {
    return this.#state;
  }

  get revision(): number {
    return this.#state.revision;
  }

  get storageError(): string | null {
    return this.#disk.error;
  }

  get repair(): string | null {
    return this.#disk.repair;
  }

  get vector(): Vector {
    return this.#ledger.vector;
  }

  clockOf(origin: string): number {
    return this.#ledger.clockOf(origin);
  }

  get hasGap(): boolean {
    return this.#ledger.hasGap;
  }

  get root(): string {
    return this.#ledger.root;
  }

  get partials(): ReadonlySet<string> {
    return this.#ledger.partials;
  }

  behind(vector: Vector, after: Cursor | null, size: number): Page {
    return this.#ledger.behind(vector, after, size);
  }

  sums(): Uint8Array {
    return this.#ledger.sums();
  }

  inBuckets(buckets: ReadonlySet<number>, after: Cursor | null, size: number): Page {
    return this.#ledger.inBuckets(buckets, after, size);
  }

  transact(changes: readonly Change[], author: Author, companion?: Companion): Result<Commit> {
    const { wishes, problems, code } = readWishes(changes, author, (key) => this.#live(key));
    if (problems.length > 0) return failure(code, problems);
    const version = this.#nextVersion();
    const proposals = wishes.flatMap((wish) => this.#propose(wish, version));
    if (proposals.length === 0)
      return { ok: true, value: { revision: this.revision, entries: [] } };
    const conflicts = validate(this.#state, proposals);
    if (conflicts.length > 0) return failure("conflict", conflicts);
    const asked = proposals.map(({ entry }) => entry);
    const extra = companion?.({ revision: version.clock, entries: asked });
    const entries = extra === undefined ? asked : [...asked, ...this.#accompany(extra, version)];
    if (version.clock > CLOCK_MAX) return storageFailure(`the clock ended at ${CLOCK_MAX}`);
    const portions = this.#seal(version, entries);
    const settled = this.#settle(writesOf(portions));
    const advances = { [this.#origin]: version.clock };
    if (!this.#disk.write(settled, advances)) return storageFailure(this.#disk.error!);
    this.#ledger.advance(this.#origin, version.clock);
    const changed = this.#adopt(settled);
    this.#tell(changed, "local", portions);
    return { ok: true, value: { revision: version.clock, entries } };
  }

  merge(portions: readonly Portion[], vector?: Vector): Merged {
    const nowTicks = ticksAt(this.#wallClock());
    const latest = nowTicks === 0 ? CLOCK_MAX : nowTicks + AHEAD_TICKS_MAX;
    const { writes, refused, complete } = this.#examiner.examine(portions, latest);
    const settled = this.#settle(writes);
    for (const [key, next] of settled) {
      // What was forgotten here is not learned anew from who is about to forget it.
      const isForgotten = this.#ledger.get(key) === undefined && isExpired(next, this.#expiredTo);
      if (isForgotten) settled.delete(key);
    }
    const advances = this.#examiner.advanced(complete, refused, vector);
    if (settled.size === 0) {
      // The rest of the vector is worth no write of its own: it is a shortcut, not the truth.
      this.#advance(advances);
      this.#disk.noteClocks(advances);
      return { news: 0, refused };
    }
    const hashes = new Set(writes.map(({ hash }) => hash));
    let news = 0;
    for (const [key, { writes }] of settled) {
      const known = new Set(this.#ledger.get(key)?.writes);
      for (const write of writes) if (hashes.has(write.hash) && !known.has(write)) news++;
    }
    this.#advance(advances);
    const changed = this.#adopt(settled);
    this.#disk.writeLater(settled, advances);
    this.#tell(changed, "peer", []);
    return { news, refused };
  }

  expire(isKnownByAll: boolean): number {
    const age = isKnownByAll ? TOMBSTONE_TICKS : TOMBSTONE_TICKS_MAX;
    const ticks = ticksAt(this.#wallClock()) - age;
    // All chassis at nearly the same time, as they compare what they hold.
    const horizon = Math.floor(ticks / EXPIRY_STEP_TICKS) * EXPIRY_STEP_TICKS;
    if (horizon <= this.#expiredTo) return 0;
    this.#expiredTo = horizon;
    const { revision } = this.#ledger;
    const expired = new Map<string, Settled>();
    for (const [key, held] of this.#ledger.records()) {
      const isLatest = held.writes.some(({ clock }) => clock === revision);
      if (!isLatest && isExpired(held, horizon)) expired.set(key, GONE);
    }
    if (expired.size === 0 || !this.#disk.write(expired, {})) return 0;
    this.#ledger.replaceAll(expired);
    return expired.size;
  }

  entries(): readonly Entry[] {
    return this.#allEntries().sort(compareEntries);
  }

  flush(): boolean {
    return this.#disk.flush();
  }

  onChange(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#listeners.clear();
    this.#disk.close();
  }

  #nextVersion(): Version {
    const clock = Math.max(this.#ledger.revision + 1, ticksAt(this.#wallClock()));
    return { clock: Math.max(clock, this.#ledger.clockOf(this.#origin) + 1), origin: this.#origin };
  }

  #live(key: string): Entry | undefined {
    const entry = this.#ledger.get(key)?.entry ?? undefined;
    return entry !== undefined && isLive(entry) ? entry : undefined;
  }

  /** The entry that fulfils the wish; nothing when it is fulfilled already. */
  #propose({ pointer, kind, name, value }: Wish, version: Version): Proposal[] {
    const known = this.#live(keyOf({ kind, name }));
    if (known === undefined && value === null) return [];
    if (known !== undefined && JSON.stringify(known.value) === JSON.stringify(value)) return [];
    const created = value === null ? version : (known?.created ?? version);
    return [{ pointer, entry: { kind, name, created, version, value } }];
  }

  #accompany(document: Document, version: Version): Entry[] {
    const wish = wishOf({ op: "put", document }, "");
    if (!wish.ok) throw new Error(`companion of a transaction: ${wish.error.message}`);
    return this.#propose(wish.value, version).map(({ entry }) => entry);
  }

  #seal(version: Version, entries: readonly Entry[]): Portion[] {
    const texts = entries.map((entry) => this.#textOf(entry, version));
    return seal(version, this.#ledger.clockOf(this.#origin), texts, this.#signer);
  }

  #textOf({ kind, name, value }: Entry, version: Version): string {
    const held = this.#ledger.get(keyOf({ kind, name }));
    if (value === null) return deleteText(version, kind, name, latestOf(held!.writes)!);
    const known = this.#live(keyOf({ kind, name }));
    if (known === undefined) return putText(version, kind, name, { ...value });
    if (!hasRegisters(kind)) {
      // What a later version says in it, its next document says, too: we cannot know better.
      const rest = kind === "acl" ? unknownFields(kind, held!.put!.content!) : {};
      return putText(version, kind, name, { ...value, ...rest }, known.created);
    }
    // Elements that are gone are remembered, too: now and then the document is put as a whole, but
    // not without what a later version has in it.
    const isLong = held!.writes.length > WRITES_MAX;
    if (isLong && isWhole(held!, known.value!)) {
      return putText(version, kind, name, { ...value }, known.created);
    }
    const before = registersOf(kind, { ...known.value });
    const registers = difference(before, registersOf(kind, { ...value }));
    return setText(version, kind, name, held!.put!, registers);
  }

  /** What the records become that `writes` are about; only those that change. */
  #settle(writes: readonly Write[]): Map<string, Settled> {
    const settled = new Map<string, Settled>();
    for (const [key, some] of Map.groupBy(writes, keyOfWrite)) {
      const next = this.#ledger.settled(key, some);
      if (next !== undefined && next !== this.#ledger.get(key)) settled.set(key, next);
    }
    return settled;
  }

  #advance(advances: Vector): void {
    for (const [origin, clock] of Object.entries(advances)) this.#ledger.advance(origin, clock);
  }

  /** Puts records in force; returns the entries that are different now. */
  #adopt(records: ReadonlyMap<string, Settled>): Entry[] {
    const changed: Entry[] = [];
    for (const [key, next] of records) {
      const before = this.#ledger.get(key)?.entry ?? null;
      const after = next.entry ?? tombstoneOf(before);
      if (after !== null && !isSameEntry(before, after)) changed.push(after);
    }
    this.#ledger.replaceAll(records);
    this.#follow(changed);
    return changed;
  }

  #follow(entries: readonly Entry[]): void {
    this.#state = withEntries(this.#state, this.#ledger.revision, entries);
  }

  #allEntries(): Entry[] {
    return [...this.#ledger.records()].flatMap(([, { entry }]) => entry ?? []);
  }

  /** What was written before the chassis joined its cluster becomes its own, signed. */
  #signAll(): void {
    const unsigned = [...this.#ledger.records()].filter(([, { writes }]) =>
      writes.some(({ seal }) => seal.signer === ""),
    );
    if (this.#signer === null || unsigned.length === 0) return;
    const version = this.#nextVersion();
    const texts = unsigned.flatMap(([, { entry }]) => {
      if (entry === null || !isLive(entry)) return [];
      const { kind, name } = entry;
      const content = { ...entry.value };
      const isOurs = isOwn({ op: "put", kind, name, content, origin: version.origin });
      return isOurs ? [putText(version, kind, name, content, entry.created)] : [];
    });
    this.#ledger.replaceAll(new Map(unsigned.map(([key]) => [key, GONE])));
    const portions = seal(version, this.#ledger.clockOf(version.origin), texts, this.#signer);
    const signed = this.#settle(writesOf(portions));
    const records = new Map([...unsigned.map(([key]) => [key, GONE] as const), ...signed]);
    const advances = { [version.origin]: version.clock };
    const isWritten = this.#disk.write(records, advances);
    this.#advance(advances);
    this.#ledger.replaceAll(signed);
    if (!isWritten) this.#disk.writeLater(records, advances);
  }

  /** In the order of the commits, also when a listener commits something itself. */
  #tell(...news: Parameters<Listener>): void {
    this.#news.push(news);
    if (this.#isTelling) return;
    this.#isTelling = true;
    try {
      for (let next = this.#news.shift(); next !== undefined; next = this.#news.shift()) {
        for (const listener of [...this.#listeners]) listener(...next);
      }
    } finally {
      this.#isTelling = false;
    }
  }
}

function writesOf(portions: readonly Portion[]): Write[] {
  return portions.flatMap(({ seal, texts }) => texts.map((text) => readWrite(text, seal)!));
}

/** Deleted, before the clock `horizon`. */
function isExpired({ entry, writes }: Settled, horizon: number): boolean {
  return entry?.value === null && writes.every(({ clock }) => clock < horizon);
}

function isSameEntry(a: Entry | null, b: Entry): boolean {
  return a !== null && JSON.stringify(a) === JSON.stringify(b);
}

/** What listeners hear of a document that cannot be read any more. */
function tombstoneOf(entry: Entry | null): Entry | null {
  return entry === null || entry.value === null ? null : { ...entry, value: null };
}

function storageFailure(message: string): ReturnType<typeof failure> {
  return { ok: false, error: { code: "storage", message, problems: [] } };
}
