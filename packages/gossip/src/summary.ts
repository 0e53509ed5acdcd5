/**
 * What a store holds, summed up: a hash that equals another chassis' hash when both hold the same
 * versions, and the entries in the order in which a sync pages through them. Computed when asked
 * for, and kept until the store changes.
 */
import { createHash } from "node:crypto";
import { compareText, type Entry, keyOf, type Version } from "@rhone/state/record";
import type { Store } from "@rhone/state/store";
import { countThatFits } from "./codec.ts";

const HASH_DIGITS = 16; // 8 bytes

interface Keyed {
  readonly key: string;
  readonly entry: Entry;
}

export interface Page {
  readonly entries: readonly Entry[];
  /** Key of the last entry, or "" when no entry is left behind it. */
  readonly next: string;
}

export class Summary {
  readonly #store: Store;
  #sorted: readonly Keyed[] | null = null;
  #hash: string | null = null;

  constructor(store: Store) {
    this.#store = store;
  }

  /** To be called when the store has changed. */
  invalidate(): void {
    this.#sorted = null;
    this.#hash = null;
  }

  /** Over key and versions of each entry, tombstones too: the first 8 bytes of a SHA-256. */
  get hash(): string {
    if (this.#hash !== null) return this.#hash;
    const hash = createHash("sha256");
    for (const { key, entry } of this.#entries()) {
      hash.update(`${key} ${textOf(entry.created)} ${textOf(entry.version)}\n`);
    }
    this.#hash = hash.digest("hex").slice(0, HASH_DIGITS);
    return this.#hash;
  }

  /** The entries whose key sorts behind `after`, as many as fit in one message. */
  page(after: string): Page {
    const sorted = this.#entries();
    const start = firstBehind(sorted, after);
    const entries = sorted.slice(start).map((keyed) => keyed.entry);
    const count = countThatFits(entries, 0);
    const isLast = start + count === sorted.length;
    return {
      entries: entries.slice(0, count),
      next: isLast ? "" : sorted[start + count - 1]!.key,
    };
  }

  #entries(): readonly Keyed[] {
    this.#sorted ??= this.#store
      .entries()
      .map((entry) => ({ key: keyOf(entry), entry }))
      .sort((a, b) => compareText(a.key, b.key));
    return this.#sorted;
  }
}

/** Index of the first element whose key is greater than `after`. */
function firstBehind(sorted: readonly Keyed[], after: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]!.key <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}

function textOf(version: Version): string {
  return `${version.clock}@${version.origin}`;
}
