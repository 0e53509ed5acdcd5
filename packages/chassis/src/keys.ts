/**
 * Numbers for names, the same at every chassis without an allocator.
 *
 * Every name wants the number that its hash says. When two want the same, the one that was created
 * first has it and the other takes the next free one; who was first is part of the replicated
 * state, so all chassis with the same state agree, and a later object never moves an earlier one.
 */
import { compareVersions, type Version } from "@rhone/state/record";

/** Numbers for switches and routers together: every VNI but 0. */
export const DATAPATH_KEYS = 2 ** 24 - 1;

export interface Claim {
  readonly name: string;
  readonly created: Version;
}

/**
 * A number from `first` to `first + count - 1` for each claim. Throws when there are not enough.
 */
export function assignKeys(
  claims: readonly Claim[],
  first: number,
  count: number,
): ReadonlyMap<string, number> {
  return new KeyAssignment(claims, first, count).keys;
}

/** Numbers for claims, and for those that come and go afterwards. */
export class KeyAssignment {
  readonly keys = new Map<string, number>();
  readonly #first: number;
  readonly #count: number;
  /** Whose each number is, which begin at 0 here. */
  readonly #holders = new Map<number, Claim>();
  #newest: Claim | null = null;

  /** As `assignKeys`. */
  constructor(claims: readonly Claim[], first: number, count: number) {
    if (claims.length > count) {
      throw new RangeError(`expected at most ${count} names, got ${claims.length}`);
    }
    this.#first = first;
    this.#count = count;
    for (const claim of claims.toSorted(compareClaims)) this.#place(claim);
  }

  of(name: string): number | undefined {
    return this.keys.get(name);
  }

  /** Takes a claim in; false when another one would get another number by it, or a name two. */
  add(claim: Claim): boolean {
    if (this.#holders.size === this.#count || this.keys.has(claim.name)) return false;
    // A number that is free now has always been so: nobody went on because of it.
    const isFree = !this.#holders.has(this.#wanted(claim));
    const isNewest = this.#newest === null || compareClaims(this.#newest, claim) < 0;
    if (!isFree && !isNewest) return false;
    this.#place(claim);
    return true;
  }

  /** Lets a claim go; false when another one would get another number by it. */
  remove(name: string): boolean {
    const key = this.keys.get(name);
    if (key === undefined || this.#holders.size !== this.keys.size) return false;
    const offset = key - this.#first;
    for (let passed = 1; passed < this.#count; passed++) {
      const holder = this.#holders.get((offset + passed) % this.#count);
      if (holder === undefined) break;
      const distance = (offset + passed - this.#wanted(holder) + this.#count) % this.#count;
      if (distance >= passed) return false;
    }
    this.#holders.delete(offset);
    this.keys.delete(name);
    return true;
  }

  #place(claim: Claim): void {
    let offset = this.#wanted(claim);
    while (this.#holders.has(offset)) offset = (offset + 1) % this.#count;
    this.#holders.set(offset, claim);
    this.keys.set(claim.name, this.#first + offset);
    // What went since may have been newer: then it is just not known.
    if (this.#newest === null || compareClaims(this.#newest, claim) < 0) this.#newest = claim;
  }

  #wanted({ name }: Claim): number {
    return hashOf(name) % this.#count;
  }
}

function compareClaims(a: Claim, b: Claim): number {
  return compareVersions(a.created, b.created) || (a.name < b.name ? -1 : 1);
}

/** FNV-1a over the name's UTF-16 units, with a final mix for the low bits. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 12)) >>> 0;
}
