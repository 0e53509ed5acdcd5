/**
 * Exact-match table: a key of `keyWords` 32-bit words leads to one value word.
 *
 * Open addressing with linear probing, at most half full. Entries that want the same bucket, or one
 * before it, stand in one order (Amble and Knuth, "Ordered hash tables", 1974): by the bucket that
 * they want, by key, by value. So the words follow from the set of entries, and a table to which
 * one was added is the same, word for word, as one that was built from all of them.
 *
 *   bucket   [value + 1 (0 = empty), key word 0, … key word k-1]
 *
 * Buckets, a power of two, lie in pages, of which two tables share those that are the same: to add
 * an entry copies a page or two. Built by the control thread, never changed after it is published,
 * read by every worker.
 */
import { sharedWords } from "./shared-words.ts";

const BUCKETS_MIN = 4;
const PAGE_BUCKETS_MIN = 512;
/** Each page is sent to each worker with each generation. */
const PAGES_MAX = 32;

export const NOT_FOUND = -1;

/** An entry to build from; `value` is 0 or more. */
export interface ExactEntry {
  readonly key: readonly number[];
  readonly value: number;
}

/** A table as it is published. */
export interface ExactImage {
  readonly keyWords: number;
  /** Entries. */
  readonly count: number;
  /** A power of two of them, all of one length. */
  readonly pages: readonly Int32Array[];
}

/** A table of these entries; of those with the same key, the one with the smallest value counts. */
export function buildExactTable(keyWords: number, entries: readonly ExactEntry[]): ExactImage {
  return ExactBuilder.of(keyWords, entries.length).change([], entries);
}

/**
 * The table with other entries; null when so many need another number of buckets. `renumbered` has
 * other values for the entries that stay, by their old ones, and ascends as those do.
 */
export function changeExactTable(
  image: ExactImage,
  removed: readonly ExactEntry[],
  added: readonly ExactEntry[],
  renumbered: Int32Array | null = null,
): ExactImage | null {
  if (removed.length === 0 && added.length === 0 && renumbered === null) return image;
  const count = image.count - removed.length + added.length;
  if (bucketsFor(count) !== bucketsOf(image)) return null;
  return new ExactBuilder(image).change(removed, added, renumbered);
}

function bucketsFor(count: number): number {
  let buckets = BUCKETS_MIN;
  while (buckets < count * 2) buckets *= 2;
  return buckets;
}

function bucketsOf({ keyWords, pages }: ExactImage): number {
  return pages.length * (pages[0]!.length / (keyWords + 1));
}

/** A new table while it is made of another one: copies the pages that it writes to. */
class ExactBuilder {
  readonly #keyWords: number;
  readonly #stride: number;
  readonly #mask: number;
  readonly #pageBits: number;
  readonly #pageMask: number;
  readonly #pages: Int32Array[];
  readonly #isOwn: boolean[];
  #count: number;
  /** The entry that looks for a bucket, as it stands there, and the one that it takes it from. */
  #moving: Int32Array;
  #displaced: Int32Array;

  constructor(image: ExactImage, isOwn = false) {
    const buckets = bucketsOf(image);
    const pageBuckets = buckets / image.pages.length;
    this.#keyWords = image.keyWords;
    this.#stride = image.keyWords + 1;
    this.#mask = buckets - 1;
    this.#pageBits = Math.log2(pageBuckets);
    this.#pageMask = pageBuckets - 1;
    this.#pages = [...image.pages];
    this.#isOwn = image.pages.map(() => isOwn);
    this.#count = image.count;
    this.#moving = new Int32Array(this.#stride);
    this.#displaced = new Int32Array(this.#stride);
  }

  /** An empty table with buckets for `count` entries. */
  static of(keyWords: number, count: number): ExactBuilder {
    const buckets = bucketsFor(count);
    const pageBuckets = Math.max(Math.min(buckets, PAGE_BUCKETS_MIN), buckets / PAGES_MAX);
    const pages = Array.from({ length: buckets / pageBuckets }, () =>
      sharedWords(pageBuckets * (keyWords + 1)),
    );
    return new ExactBuilder({ keyWords, count: 0, pages }, true);
  }

  change(
    removed: readonly ExactEntry[],
    added: readonly ExactEntry[],
    renumbered: Int32Array | null = null,
  ): ExactImage {
    for (const entry of removed) this.#remove(entry);
    if (renumbered !== null)
      for (const number of this.#pages.keys()) this.#renumber(number, renumbered);
    for (const entry of added) this.#insert(entry);
    return { keyWords: this.#keyWords, count: this.#count, pages: this.#pages };
  }

  /** Takes its bucket from the first entry that comes behind it, which does so with the next. */
  #insert(entry: ExactEntry): void {
    this.#take(entry);
    let home = hashOf(entry.key, this.#keyWords) & this.#mask;
    for (let bucket = home; ; bucket = (bucket + 1) & this.#mask) {
      const words = this.#pages[bucket >>> this.#pageBits]!;
      const at = (bucket & this.#pageMask) * this.#stride;
      if (words[at] === 0) {
        this.#write(bucket, this.#moving);
        break;
      }
      const homeThere = this.#homeAt(words, at);
      if (!this.#isBefore(home, words, at, homeThere, bucket)) continue;
      for (let i = 0; i < this.#stride; i++) this.#displaced[i] = words[at + i]!;
      this.#write(bucket, this.#moving);
      [this.#moving, this.#displaced] = [this.#displaced, this.#moving];
      home = homeThere;
    }
    this.#count++;
  }

  /** Moves the entries up that would rather stand where it was. */
  #remove(entry: ExactEntry): void {
    let bucket = this.#bucketOf(entry);
    for (;;) {
      const next = (bucket + 1) & this.#mask;
      const words = this.#pages[next >>> this.#pageBits]!;
      const at = (next & this.#pageMask) * this.#stride;
      if (words[at] === 0 || this.#homeAt(words, at) === next) break;
      for (let i = 0; i < this.#stride; i++) this.#moving[i] = words[at + i]!;
      this.#write(bucket, this.#moving);
      bucket = next;
    }
    this.#write(bucket, this.#moving.fill(0));
    this.#count--;
  }

  #renumber(number: number, renumbered: Int32Array): void {
    const page = this.#own(number);
    for (let at = 0; at < page.length; at += this.#stride) {
      if (page[at] !== 0) page[at] = renumbered[page[at]! - 1]! + 1;
    }
  }

  #take({ key, value }: ExactEntry): void {
    if (key.length !== this.#keyWords || value < 0) {
      const got = `${key.length} and ${value}`;
      throw new RangeError(`expected a key of ${this.#keyWords} words and a value ≥ 0, got ${got}`);
    }
    this.#moving[0] = value + 1;
    for (let i = 0; i < this.#keyWords; i++) this.#moving[1 + i] = key[i]!;
  }

  /** Throws when the table does not have the entry. */
  #bucketOf(entry: ExactEntry): number {
    this.#take(entry);
    const { key, value } = entry;
    for (let bucket = hashOf(key, this.#keyWords) & this.#mask; ; ) {
      const words = this.#pages[bucket >>> this.#pageBits]!;
      const at = (bucket & this.#pageMask) * this.#stride;
      if (words[at] === 0) throw new Error(`expected an entry ${key.join()} → ${value}, got none`);
      if (words[at] === value + 1 && isKeyAt(words, at + 1, key, this.#keyWords)) return bucket;
      bucket = (bucket + 1) & this.#mask;
    }
  }

  /** Whether the entry that moves comes before the one in a bucket. */
  #isBefore(
    home: number,
    words: Int32Array,
    at: number,
    homeThere: number,
    bucket: number,
  ): boolean {
    const distance = (bucket - home) & this.#mask;
    const distanceThere = (bucket - homeThere) & this.#mask;
    if (distance !== distanceThere) return distance > distanceThere;
    for (let i = 1; i < this.#stride; i++) {
      const order = this.#moving[i]! - words[at + i]!;
      if (order !== 0) return order < 0;
    }
    return this.#moving[0]! < words[at]!;
  }

  /** The bucket that an entry wants. */
  #homeAt(words: Int32Array, at: number): number {
    return hashAt(words, at + 1, this.#keyWords) & this.#mask;
  }

  #write(bucket: number, entry: Int32Array): void {
    const page = this.#own(bucket >>> this.#pageBits);
    page.set(entry, (bucket & this.#pageMask) * this.#stride);
  }

  /** A page that nobody else has. */
  #own(number: number): Int32Array {
    const page = this.#pages[number]!;
    if (this.#isOwn[number]) return page;
    const copy = sharedWords(page.length);
    copy.set(page);
    this.#pages[number] = copy;
    this.#isOwn[number] = true;
    return copy;
  }
}

export class ExactTable {
  readonly #pages: readonly Int32Array[];
  readonly #keyWords: number;
  readonly #mask: number;
  readonly #pageBits: number;
  readonly #pageMask: number;

  constructor(image: ExactImage) {
    const buckets = bucketsOf(image);
    const pageBuckets = buckets / image.pages.length;
    this.#pages = image.pages;
    this.#keyWords = image.keyWords;
    this.#mask = buckets - 1;
    this.#pageBits = Math.log2(pageBuckets);
    this.#pageMask = pageBuckets - 1;
  }

  /** The value of the key in `key[0..keyWords)`, or NOT_FOUND. */
  find(key: Int32Array): number {
    const pages = this.#pages;
    const pageBits = this.#pageBits;
    const pageMask = this.#pageMask;
    const keyWords = this.#keyWords;
    const mask = this.#mask;
    const stride = keyWords + 1;
    for (let bucket = hashOf(key, keyWords) & mask; ; bucket = (bucket + 1) & mask) {
      const words = pages[bucket >>> pageBits]!;
      const at = (bucket & pageMask) * stride;
      if (words[at] === 0) return NOT_FOUND;
      if (isKeyAt(words, at + 1, key, keyWords)) return words[at]! - 1;
    }
  }
}

function isKeyAt(words: Int32Array, at: number, key: ArrayLike<number>, count: number): boolean {
  for (let i = 0; i < count; i++) if (words[at + i] !== (key[i]! | 0)) return false;
  return true;
}

function hashOf(key: ArrayLike<number>, count: number): number {
  let hash = count;
  for (let i = 0; i < count; i++) hash = mix(hash, key[i]!);
  return hash;
}

function hashAt(words: Int32Array, at: number, count: number): number {
  let hash = count;
  for (let i = 0; i < count; i++) hash = mix(hash, words[at + i]!);
  return hash;
}

/** Takes a word in with the finaliser of MurmurHash3, which spreads any single bit. */
function mix(hash: number, word: number): number {
  const high = Math.imul(hash ^ word, 0x85ebca6b);
  const low = Math.imul(high ^ (high >>> 13), 0xc2b2ae35);
  return low ^ (low >>> 16);
}
