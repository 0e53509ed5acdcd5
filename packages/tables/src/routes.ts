/**
 * Routes of every router, for longest-prefix match: a trie of five bits a step, whose nodes have
 * only the children that there are, and of the answers only those that differ. After "Poptrie" by
 * Asai and Ohara (SIGCOMM 2015).
 *
 *   routeRoots   rows, one a datapath: [node of IPv6, node of IPv4], -1 none
 *   routeNodes   four words a node, by the next five bits of the address, its slot, 0–31:
 *                0 a bit a slot: there is a child node   1 number of the first child node
 *                2 a bit a slot: an answer begins, which is also that of the slots behind it
 *                3 number of the first answer in routeLeaves
 *   routeLeaves  a word an answer: row of the next hop, -1 none
 *   nextHops     rows: [out-port row, next hop word 0–3], each once, however many routes lead there
 *
 * Children of a node lie side by side in the order of their slots, and so do its answers: which one
 * it is follows from the bits below. A shorter prefix is the answer of every slot that no longer
 * one has. So a look-up reads a node for each five bits of the longest route around, up to 7 for
 * IPv4.
 *
 * A prefix is over the 128-bit form of the address, so an IPv4 /24 has length 120 and its trie
 * begins at bit 96; the families stay apart: ::/0 is no route for IPv4. A next hop of four zero
 * words means that the destination is in the connected network.
 */
import { type AddressWords, IPV4_MAPPED } from "./ports.ts";
import { buildRows, Rows } from "./row-table.ts";

/** Of all routers together. */
export const ROUTES_MAX = 2 ** 20;

const STRIDE = 5;
const SLOTS = 32;
const NODE_WORDS = 4;
const CHILDREN = 0;
const FIRST_CHILD = 1;
const ANSWERS = 2;
const FIRST_ANSWER = 3;
const NONE = -1;

const ROOT_WORDS = 2;
const IPV6_ROOT = 0;
const IPV4_ROOT = 1;
const IPV4_BEGIN = 96; // bits

const OUT_PORT = 0;
const NEXT_HOP = 1;
const NEXT_HOP_WORDS = 5;

export interface Route {
  readonly prefix: AddressWords;
  /** 0–128 over the 128-bit form. */
  readonly length: number;
  /** Row of the router's port that leads there. */
  readonly outPort: number;
  /** null: connected. */
  readonly nextHop: AddressWords | null;
}

export interface RouteImages {
  readonly routeRoots: Int32Array;
  readonly routeNodes: Int32Array;
  readonly routeLeaves: Int32Array;
  readonly nextHops: Int32Array;
}

/** `routesOf[d]` belongs to datapath row `d`. Of two routes for one prefix the first counts. */
export function buildRoutes(routesOf: readonly (readonly Route[])[]): RouteImages {
  const count = routesOf.reduce((sum, routes) => sum + routes.length, 0);
  if (count > ROUTES_MAX) throw new RangeError(`expected up to ${ROUTES_MAX} routes, got ${count}`);
  const hops = new NextHops();
  const trie = new TrieBuilder();
  const roots = routesOf.map((routes) => {
    const entries = routes.map((route) => entryOf(route, hops)).sort(compareEntries);
    const [ipv6, ipv4] = [false, true].map((isIpv4) =>
      entries.filter((entry) => entry.isIpv4 === isIpv4),
    );
    return [trie.add(ipv6!, 0), trie.add(ipv4!, IPV4_BEGIN)];
  });
  return {
    routeRoots: buildRows(ROOT_WORDS, roots),
    routeNodes: Int32Array.from(trie.nodes),
    routeLeaves: Int32Array.from(trie.leaves),
    nextHops: buildRows(NEXT_HOP_WORDS, hops.rows),
  };
}

export class Routes {
  readonly #roots: Rows;
  readonly #nodes: Int32Array;
  readonly #leaves: Int32Array;
  readonly #hops: Rows;

  constructor({ routeRoots, routeNodes, routeLeaves, nextHops }: RouteImages) {
    this.#roots = new Rows(ROOT_WORDS, routeRoots);
    this.#nodes = routeNodes;
    this.#leaves = routeLeaves;
    this.#hops = new Rows(NEXT_HOP_WORDS, nextHops);
  }

  /**
   * The row of where the longest route of `router` leads that covers the address in
   * `address[0..4)`, or -1.
   */
  find(router: number, address: Int32Array): number {
    const isIpv4 = isMapped(address);
    let node = this.#roots.words[this.#roots.at(router) + (isIpv4 ? IPV4_ROOT : IPV6_ROOT)]!;
    if (node === NONE) return NONE;
    const nodes = this.#nodes;
    for (let bit = isIpv4 ? IPV4_BEGIN : 0; ; bit += STRIDE) {
      const slot = slotAt(address, bit);
      const upToSlot = (2 << slot) - 1;
      const at = node * NODE_WORDS;
      const children = nodes[at + CHILDREN]!;
      if (((children >>> slot) & 1) === 0) {
        const before = countBits(nodes[at + ANSWERS]! & upToSlot);
        return this.#leaves[nodes[at + FIRST_ANSWER]! + before - 1]!;
      }
      node = nodes[at + FIRST_CHILD]! + countBits(children & upToSlot) - 1;
    }
  }

  outPort(row: number): number {
    return this.#hops.words[this.#hops.at(row) + OUT_PORT]!;
  }

  /** Replaces `address[0..4)` by the route's next hop; leaves it when the network is connected. */
  applyNextHop(row: number, address: Int32Array): void {
    const { words } = this.#hops;
    const at = this.#hops.at(row) + NEXT_HOP;
    if ((words[at]! | words[at + 1]! | words[at + 2]! | words[at + 3]!) === 0) return;
    for (let i = 0; i < 4; i++) address[i] = words[at + i]!;
  }
}

/** The five bits of an address from bit `bit` on; zeros follow it. */
function slotAt(address: ArrayLike<number>, bit: number): number {
  const word = bit >> 5;
  const skipped = bit & 31;
  const slot = (address[word]! << skipped) >>> 27;
  if (skipped <= 27 || word === 3) return slot;
  return slot | (address[word + 1]! >>> (59 - skipped));
}

function countBits(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function isMapped(address: ArrayLike<number>): boolean {
  return address[0] === 0 && address[1] === 0 && address[2] === IPV4_MAPPED;
}

interface Entry {
  /** Zeros behind its length. */
  readonly prefix: AddressWords;
  readonly length: number;
  readonly isIpv4: boolean;
  readonly hop: number;
}

function entryOf({ prefix, length, outPort, nextHop }: Route, hops: NextHops): Entry {
  const cut = (i: number): number => {
    const left = length - i * 32;
    // A shift by 32 is a shift by 0 in JavaScript: a whole word has its own branch.
    return left >= 32 ? prefix[i]! | 0 : left <= 0 ? 0 : prefix[i]! & (-1 << (32 - left));
  };
  return {
    ...{ prefix: [cut(0), cut(1), cut(2), cut(3)], length },
    isIpv4: length >= IPV4_BEGIN && isMapped(prefix),
    hop: hops.rowOf(outPort, nextHop),
  };
}

/** By prefix, and what covers another one in front of it. */
function compareEntries(a: Entry, b: Entry): number {
  for (let i = 0; i < 4; i++) {
    const order = (a.prefix[i]! >>> 0) - (b.prefix[i]! >>> 0);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

class NextHops {
  readonly rows: number[][] = [];
  readonly #known = new Map<string, number>();

  rowOf(outPort: number, nextHop: AddressWords | null): number {
    const row = [outPort, ...(nextHop ?? [0, 0, 0, 0])];
    const name = row.join();
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    this.#known.set(name, this.rows.length);
    return this.rows.push(row) - 1;
  }
}

class TrieBuilder {
  readonly nodes: number[] = [];
  readonly leaves: number[] = [];

  /** The root of a trie of entries as they are sorted; NONE when there are none. */
  add(sorted: readonly Entry[], begin: number): number {
    const entries = sorted.filter((entry, i) => i === 0 || compareEntries(sorted[i - 1]!, entry));
    if (entries.length === 0) return NONE;
    const root = this.#reserve(1);
    this.#fill(root, entries, 0, entries.length, begin, NONE);
    return root;
  }

  #reserve(count: number): number {
    const first = this.nodes.length / NODE_WORDS;
    for (let i = 0; i < count * NODE_WORDS; i++) this.nodes.push(0);
    return first;
  }

  /** A node for `entries[from..to)`, which agree before `bit`; `inherited` covers all of it. */
  #fill(
    node: number,
    entries: readonly Entry[],
    from: number,
    to: number,
    bit: number,
    inherited: number,
  ): void {
    const answers = new Array<number>(SLOTS).fill(inherited);
    const groups: { slot: number; from: number; to: number }[] = [];
    for (let i = from; i < to; ) {
      const { prefix, length, hop } = entries[i]!;
      const slot = slotAt(prefix, bit);
      if (length <= bit + STRIDE) {
        answers.fill(hop, slot, slot + 2 ** Math.min(STRIDE, bit + STRIDE - length));
        i++;
        continue;
      }
      let end = i + 1;
      while (end < to && slotAt(entries[end]!.prefix, bit) === slot) end++;
      groups.push({ slot, from: i, to: end });
      i = end;
    }
    const children = groups.reduce((bits, group) => bits | (1 << group.slot), 0);
    const firstChild = this.#reserve(groups.length);
    const firstAnswer = this.leaves.length;
    const at = node * NODE_WORDS;
    this.nodes[at + CHILDREN] = children;
    this.nodes[at + FIRST_CHILD] = firstChild;
    this.nodes[at + ANSWERS] = this.#addAnswers(answers, children);
    this.nodes[at + FIRST_ANSWER] = firstAnswer;
    for (const [i, group] of groups.entries()) {
      const next = answers[group.slot]!;
      this.#fill(firstChild + i, entries, group.from, group.to, bit + STRIDE, next);
    }
  }

  /** Writes the answers of slots without a child, once for each run; returns where one begins. */
  #addAnswers(answers: readonly number[], children: number): number {
    let begins = 0;
    let last: number | undefined;
    for (let slot = 0; slot < SLOTS; slot++) {
      if (((children >>> slot) & 1) === 1 || answers[slot] === last) continue;
      last = answers[slot]!;
      begins |= 1 << slot;
      this.leaves.push(last);
    }
    return begins;
  }
}
