/**
 * The memory of a chassis's connections (connections.ts): made by the control thread, installed by
 * each worker, its counters read by anybody.
 *
 *   word 0 entries of a bucket    word 1 places of a bucket's index    word 2 seed of the flows'
 *   hashes, unknown to whoever makes up flows    then four arrays
 *   heads    256 × 32 words   counters and lists of a bucket, HEAD_… below, written by its owner
 *   index    256 × places     see connections.ts
 *   entries  256 × n × 32 words, two cache lines each
 *   translations  256 × n × 8 words, see translations.ts
 */
export const BUCKETS = 256;
/** Entries that a table can have. */
export const ENTRIES_MAX = 4_194_304;
/** Of a thread that installed none, such as a test. */
const DEFAULT_ENTRIES = 16_384;

export const HEAD_WORDS = 32;
export const ENTRY_WORDS = 32;
export const TRANSLATION_WORDS = 8;

export const HEAD_UNUSED = 0; // The first entry that was never used.
export const HEAD_FREE = 1; // First of the list of those that are free again, plus one.
export const HEAD_IN_USE = 2;
export const HEAD_INSERTED = 3;
export const HEAD_EXPIRED = 4;
export const HEAD_EARLY_DROPPED = 5;
export const HEAD_REFUSED = 6;
export const HEAD_SWEEP = 7; // The next entry to look at.
export const HEAD_OLDEST = 8; // Ends of the list of those without a reply, plus one.
export const HEAD_NEWEST = 9;
export const HEAD_PICKED_UP = 10;
/** What follows from the entries alone. */
export const HEAD_LISTS: readonly number[] = [HEAD_FREE, HEAD_IN_USE, HEAD_OLDEST, HEAD_NEWEST];

// Words of an entry, as connections.ts has them.
export const HASH = 0;
export const VNI_PROTOCOL = 1;
export const PORT_VERSION = 2;
export const LOW = 3;
export const HIGH = 4;
export const PORTS = 5;
export const FLAGS = 6;
export const EXPIRES = 7;
/** The first decision word. */
export const DECISIONS = 8;
export const LOW_REST = 16;
export const HIGH_REST = 19;
export const TCP = 22;
export const SYN_END = 31;

// Of an entry's flags. Its protocol's state stands above them, in eight bits.
export const REPLY_SEEN = 1;
/** A rule blocks the connection, replies too. */
export const BLOCKED = 2;
/** The first packet came from the high end. */
export const FROM_HIGH = 4;
/** Its packets go on to what translations.ts has for it. */
export const TRANSLATED = 8;
/** It is one of such packets: replies to it come from what translations.ts has for it. */
export const REVERSE = 16;
/** It was begun by an answer, and who must have asked has not been heard since. */
export const PICKED_UP = 32;
export const STATE_SHIFT = 8;

const PER_BUCKET = 0;
const PLACES = 1;
const SEED = 2;
const HEADS = 3;

/** Where things stand, in words. */
export interface Layout {
  readonly words: Int32Array;
  readonly perBucket: number;
  /** A power of two. */
  readonly places: number;
  readonly seed: number;
  readonly headsAt: number;
  readonly indexAt: number;
  readonly entriesAt: number;
  readonly translationsAt: number;
}

/** Counts over all buckets since the chassis started; the first two are of now. */
export interface Usage {
  readonly capacity: number;
  readonly inUse: number;
  readonly inserted: number;
  readonly expired: number;
  readonly earlyDropped: number;
  readonly refused: number;
  /** Begun by an answer to what nobody here knew of. */
  readonly pickedUp: number;
}

const INSTALLED = Symbol.for("rhone.connections");
const registry = globalThis as { [INSTALLED]?: SharedArrayBuffer };

/** Memory for at least `entryCount` connections, 256 to 4,194,304; `seed` is any 32-bit integer. */
export function createConnections(entryCount: number, seed = 0): SharedArrayBuffer {
  if (!(entryCount >= BUCKETS) || entryCount > ENTRIES_MAX) {
    throw new RangeError(`expected ${BUCKETS} to ${ENTRIES_MAX} connections, got ${entryCount}`);
  }
  const perBucket = Math.ceil(entryCount / BUCKETS);
  const places = 2 ** Math.ceil(Math.log2(perBucket * 2));
  const entryWords = ENTRY_WORDS + TRANSLATION_WORDS;
  const size = HEADS + BUCKETS * (HEAD_WORDS + places + perBucket * entryWords) + ENTRY_WORDS;
  const buffer = new SharedArrayBuffer(size * 4);
  const header = new Int32Array(buffer);
  header[PER_BUCKET] = perBucket;
  header[PLACES] = places;
  header[SEED] = seed;
  return buffer;
}

/** Makes `buffer` this thread's table, before connections.ts is imported. */
export function installConnections(buffer: SharedArrayBuffer): void {
  const present = registry[INSTALLED];
  if (present !== undefined && present !== buffer) {
    throw new Error("expected one table of connections per thread, got a second one");
  }
  registry[INSTALLED] = buffer;
}

/** The installed memory; a thread that installed none gets a small table. */
export function installedConnections(): Layout {
  registry[INSTALLED] ??= createConnections(DEFAULT_ENTRIES);
  return layoutOf(registry[INSTALLED]);
}

/** The sums over all buckets; exact when the owners rest. */
export function usageOf(buffer: SharedArrayBuffer): Usage {
  const { words, perBucket, headsAt } = layoutOf(buffer);
  const sum = (word: number): number => {
    let total = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      total += words[headsAt + bucket * HEAD_WORDS + word]!;
    }
    return total;
  };
  return {
    capacity: perBucket * BUCKETS,
    inUse: sum(HEAD_IN_USE),
    inserted: sum(HEAD_INSERTED),
    expired: sum(HEAD_EXPIRED),
    earlyDropped: sum(HEAD_EARLY_DROPPED),
    refused: sum(HEAD_REFUSED),
    pickedUp: sum(HEAD_PICKED_UP),
  };
}

/**
 * Flows in several zones share a hash; mixed with the zone they spread over the index. The zone and
 * protocol as in words 1 and 2 of an entry.
 */
export function zoneHash(flowHash: number, vniProtocol: number, portVersion: number): number {
  const zone = Math.imul(portVersion, 0x9e3779b1) ^ vniProtocol;
  const mixed = Math.imul(flowHash ^ zone, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

/** Where things stand in memory that `createConnections` made. */
export function layoutOf(buffer: SharedArrayBuffer): Layout {
  const words = new Int32Array(buffer);
  const perBucket = words[PER_BUCKET]!;
  const places = words[PLACES]!;
  const indexAt = HEADS + BUCKETS * HEAD_WORDS;
  // Entries start on a cache line, the size has room for that.
  const entriesAt = (indexAt + BUCKETS * places + ENTRY_WORDS - 1) & ~(ENTRY_WORDS - 1);
  const translationsAt = entriesAt + BUCKETS * perBucket * ENTRY_WORDS;
  const seed = words[SEED]!;
  const at = { headsAt: HEADS, indexAt, entriesAt, translationsAt };
  return { words, perBucket, places, seed, ...at };
}
