/**
 * Exact-match table: a key of `keyWords` 32-bit words leads to one value word.
 *
 * Open addressing with linear probing, at most half full. Built by the control thread, never
 * changed after it is published, read by every worker.
 *
 *   word   0   key words per entry, k
 *   word   1   buckets, a power of two
 *   word   2…  buckets × [value + 1 (0 = empty), key word 0, … key word k-1]
 */
const KEY_WORDS = 0;
const BUCKETS = 1;
const ENTRIES = 2;

export const NOT_FOUND = -1;

/** An entry to build from; `value` is 0 or more. */
export interface ExactEntry {
  readonly key: readonly number[];
  readonly value: number;
}

/**
 * The table's words. The first entry of a key wins; the order of `entries` decides nothing else.
 */
export function buildExactTable(keyWords: number, entries: readonly ExactEntry[]): Int32Array {
  let buckets = 4;
  while (buckets < entries.length * 2) buckets *= 2;
  const words = new Int32Array(ENTRIES + buckets * (keyWords + 1));
  words[KEY_WORDS] = keyWords;
  words[BUCKETS] = buckets;
  for (const { key, value } of entries) {
    if (key.length !== keyWords || value < 0) {
      const got = `${key.length} and ${value}`;
      throw new RangeError(`expected a key of ${keyWords} words and a value ≥ 0, got ${got}`);
    }
    insert(words, key, value);
  }
  return words;
}

function insert(words: Int32Array, key: readonly number[], value: number): void {
  const keyWords = words[KEY_WORDS]!;
  const mask = words[BUCKETS]! - 1;
  const stride = keyWords + 1;
  for (let bucket = hashOf(key, keyWords) & mask; ; bucket = (bucket + 1) & mask) {
    const at = ENTRIES + bucket * stride;
    if (words[at] === 0) {
      words[at] = value + 1;
      for (let i = 0; i < keyWords; i++) words[at + 1 + i] = key[i]!;
      return;
    }
    if (isKeyAt(words, at + 1, key, keyWords)) return;
  }
}

export class ExactTable {
  readonly #words: Int32Array;
  readonly #keyWords: number;
  readonly #mask: number;

  constructor(words: Int32Array) {
    this.#words = words;
    this.#keyWords = words[KEY_WORDS]!;
    this.#mask = words[BUCKETS]! - 1;
  }

  /** The value of the key in `key[0..keyWords)`, or NOT_FOUND. */
  find(key: Int32Array): number {
    const words = this.#words;
    const keyWords = this.#keyWords;
    const mask = this.#mask;
    const stride = keyWords + 1;
    for (let bucket = hashOf(key, keyWords) & mask; ; bucket = (bucket + 1) & mask) {
      const at = ENTRIES + bucket * stride;
      if (words[at] === 0) return NOT_FOUND;
      if (isKeyAt(words, at + 1, key, keyWords)) return words[at]! - 1;
    }
  }
}

function isKeyAt(words: Int32Array, at: number, key: ArrayLike<number>, count: number): boolean {
  for (let i = 0; i < count; i++) if (words[at + i] !== (key[i]! | 0)) return false;
  return true;
}

/** Mixes word by word with the finaliser of MurmurHash3, which spreads any single bit. */
function hashOf(key: ArrayLike<number>, count: number): number {
  let hash = count;
  for (let i = 0; i < count; i++) {
    hash = Math.imul(hash ^ key[i]!, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return hash;
}
