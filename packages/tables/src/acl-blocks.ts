/**
 * The first of many rules that suits a packet, without a look at each: aggregated bit vectors
 * (Baboescu and Varghese, "Scalable Packet Classification", SIGCOMM 2001). Built by the control
 * thread, read by every worker.
 *
 * The rules' bounds cut the values of each field into intervals, and each interval has a bit for
 * every rule that says whether its values suit it. A packet's five vectors ANDed are the rules that
 * match. A vector begins with a word that says which of its other words are not 0; so that one word
 * is enough, rules come in blocks of 1,024.
 *
 *   block      [next block, 0 for none; its five fields; rule rows, ascending]
 *   field      [intervals, n; first key of each but the first; vector of each]
 *   key        a word, of an address four; with the first bit inverted, for signed comparison
 *   vector     [aggregate, a bit a rule, the highest one first]
 *
 * Everything is named by its first word; a list of rules by that of its first block, 0 if empty.
 */
import { compareKeys, FIELDS, type Field, type Key, rangesOf, sharedBy } from "./acl-ranges.ts";
import type { AclRule } from "./acls.ts";

const BLOCK_RULES = 1024;
const NEXT = 0;
const SOURCE = 1; // Of each field, in the order of FIELDS.
const DESTINATION = 2;
const SOURCE_PORT = 3;
const DESTINATION_PORT = 4;
const PROTOCOL = 5;
const ROWS = 6;
const FIRST_BIT = 0x80000000;

/** Puts lists of rules one behind the other. */
export class AclBlocksBuilder {
  readonly #rules: readonly AclRule[];
  #words = new Int32Array(1024);
  #length = 1; // Word 0 is no block.

  constructor(rules: readonly AclRule[]) {
    this.#rules = rules;
  }

  /** Adds the list of these ascending rows of the rules; returns its first word. */
  add(rows: readonly number[]): number {
    let next = 0;
    const blocks = Math.ceil(rows.length / BLOCK_RULES);
    for (let i = blocks - 1; i >= 0; i--) {
      next = this.#addBlock(rows.slice(i * BLOCK_RULES, (i + 1) * BLOCK_RULES), next);
    }
    return next;
  }

  build(): Int32Array {
    return this.#words.slice(0, this.#length);
  }

  #addBlock(rows: readonly number[], next: number): number {
    const rules = rows.map((row) => this.#rules[row]!);
    const fields = FIELDS.map((field) => this.#addField(rules, field));
    return this.#append([next, ...fields, ...rows]);
  }

  #addField(rules: readonly AclRule[], field: Field): number {
    const bounds = boundsOf(rules, field);
    const vector = new Int32Array(1 + Math.ceil(rules.length / 32));
    const known = new Map<number, number[]>();
    const keys: number[] = [];
    const vectors: number[] = [];
    for (const [i, { key, alike }] of bounds.entries()) {
      // What lies below the first bound, too, has its interval: no rule suits it.
      if (i === 0 || compareKeys(bounds[i - 1]!.key, key) !== 0) {
        vectors.push(this.#intern(vector, known));
        for (const word of key) keys.push(word ^ FIRST_BIT);
      }
      for (const rule of alike) flip(vector, rule);
    }
    vectors.push(this.#intern(vector, known));
    return this.#append([vectors.length, ...keys, ...vectors]);
  }

  /** Where the vector is: many intervals of a field have the same. */
  #intern(vector: Int32Array, known: Map<number, number[]>): number {
    const hash = vector.reduce((hash, word) => Math.imul(hash ^ word, 0x01000193), 0);
    const alike = known.get(hash) ?? [];
    const words = this.#words;
    const present = alike.find((at) => vector.every((word, i) => words[at + i] === word));
    if (present !== undefined) return present;
    const at = this.#append(vector);
    known.set(hash, [...alike, at]);
    return at;
  }

  #append(added: ArrayLike<number>): number {
    const at = this.#length;
    this.#length += added.length;
    if (this.#length > this.#words.length) {
      const larger = new Int32Array(this.#length * 2);
      larger.set(this.#words);
      this.#words = larger;
    }
    this.#words.set(added, at);
    return at;
  }
}

/** Where rules begin or end to suit a field's values, in turns. */
interface Bound {
  readonly key: Key;
  /** Numbers of the rules in their block. */
  readonly alike: readonly number[];
}

/** Ascending. */
function boundsOf(rules: readonly AclRule[], field: Field): Bound[] {
  const bounds: Bound[] = [];
  // Many rules have the same list of addresses: it is gone through once.
  const lists = Map.groupBy(rules.keys(), (i) => sharedBy(rules[i]!, field) ?? rules[i]!);
  for (const alike of lists.values()) {
    for (const { first, end } of rangesOf(rules[alike[0]!]!, field)) {
      bounds.push({ key: first, alike });
      if (end !== null) bounds.push({ key: end, alike });
    }
  }
  return bounds.sort((a, b) => compareKeys(a.key, b.key));
}

/** Turns the bit of a rule over, and tells the aggregate. */
function flip(vector: Int32Array, rule: number): void {
  const word = rule >>> 5;
  vector[1 + word]! ^= FIRST_BIT >>> (rule & 31);
  const bit = FIRST_BIT >>> word;
  vector[0] = vector[1 + word] === 0 ? vector[0]! & ~bit : vector[0]! | bit;
}

/**
 * Row of the first rule in the list at `list` that suits a packet, or -1. `addresses` has the four
 * words of its source, then those of its destination.
 */
export function findFirst(
  words: Int32Array,
  list: number,
  addresses: Int32Array,
  sourcePort: number,
  destinationPort: number,
  protocol: number,
): number {
  for (let block = list; block !== 0; block = words[block + NEXT]!) {
    const a = vectorOfAddress(words, words[block + DESTINATION]!, addresses, 4);
    const b = vectorOfAddress(words, words[block + SOURCE]!, addresses, 0);
    let left = words[a]! & words[b]!;
    if (left === 0) continue;
    const c = vectorOf(words, words[block + DESTINATION_PORT]!, destinationPort);
    const d = vectorOf(words, words[block + SOURCE_PORT]!, sourcePort);
    const e = vectorOf(words, words[block + PROTOCOL]!, protocol);
    left &= words[c]! & words[d]! & words[e]!;
    while (left !== 0) {
      const word = Math.clz32(left);
      const i = word + 1;
      const both = words[a + i]! & words[b + i]!;
      const matches = both & words[c + i]! & words[d + i]! & words[e + i]!;
      if (matches !== 0) return words[block + ROWS + (word << 5) + Math.clz32(matches)]!;
      left ^= FIRST_BIT >>> word;
    }
  }
  return -1;
}

function vectorOf(words: Int32Array, field: number, value: number): number {
  const key = value ^ FIRST_BIT;
  const keys = field; // The key of interval i stands at field + i.
  const count = words[field]!;
  let low = 0; // The last interval that begins at or below the key lies in [low, high).
  let high = count;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (words[keys + middle]! <= key) low = middle;
    else high = middle;
  }
  return words[field + count + low]!;
}

function vectorOfAddress(
  words: Int32Array,
  field: number,
  addresses: Int32Array,
  from: number,
): number {
  const k0 = addresses[from]! ^ FIRST_BIT;
  const k1 = addresses[from + 1]! ^ FIRST_BIT;
  const k2 = addresses[from + 2]! ^ FIRST_BIT;
  const k3 = addresses[from + 3]! ^ FIRST_BIT;
  const count = words[field]!;
  let low = 0;
  let high = count;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    const at = field + 1 + (middle - 1) * 4;
    const w0 = words[at]!;
    const w1 = words[at + 1]!;
    const w2 = words[at + 2]!;
    let order = w0 - k0;
    if (w0 === k0) order = w1 !== k1 ? w1 - k1 : w2 !== k2 ? w2 - k2 : words[at + 3]! - k3;
    if (order <= 0) low = middle;
    else high = middle;
  }
  return words[field + 1 + (count - 1) * 4 + low]!;
}
