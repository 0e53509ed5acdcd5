/**
 * Routes of every router, for longest-prefix match.
 *
 * The plain version: the routes of one router lie together, longest prefix first, and the first
 * that fits wins. A prefix is over the 128-bit form of the address, so an IPv4 /24 has length 120;
 * the families stay apart all the same: ::/0 is no route for IPv4.
 *
 *   index rows, one a datapath:  [first route, count]
 *   route rows:                  [prefix word 0–3, length, out-port row, next hop word 0–3,
 *                                 1 for IPv4]
 *
 * A next hop of four zero words means that the destination is in the connected network.
 */
import { type AddressWords, IPV4_MAPPED } from "./ports.ts";
import { buildRows, Rows } from "./row-table.ts";

const WIDTH = 11;
const LENGTH = 4;
const OUT_PORT = 5;
const NEXT_HOP = 6;
const IS_IPV4 = 10;
const IPV4_LENGTH_MIN = 96;

export interface Route {
  readonly prefix: AddressWords;
  /** 0–128 over the 128-bit form. */
  readonly length: number;
  /** Row of the router's port that leads there. */
  readonly outPort: number;
  /** null: connected. */
  readonly nextHop: AddressWords | null;
}

/** The words of the index and of the routes; `routesOf[d]` belongs to datapath row `d`. */
export function buildRoutes(routesOf: readonly (readonly Route[])[]): {
  index: Int32Array;
  routes: Int32Array;
} {
  const index: number[][] = [];
  const rows: number[][] = [];
  for (const routes of routesOf) {
    index.push([rows.length, routes.length]);
    const longestFirst = routes.toSorted((a, b) => b.length - a.length);
    for (const { prefix, length, outPort, nextHop } of longestFirst) {
      const family = length >= IPV4_LENGTH_MIN && isMapped(prefix) ? 1 : 0;
      rows.push([...prefix, length, outPort, ...(nextHop ?? [0, 0, 0, 0]), family]);
    }
  }
  return { index: buildRows(2, index), routes: buildRows(WIDTH, rows) };
}

export class Routes {
  readonly #index: Rows;
  readonly #rows: Rows;

  constructor(index: Int32Array, routes: Int32Array) {
    this.#index = new Rows(index);
    this.#rows = new Rows(routes);
  }

  /** Row of the longest route of `router` that covers the address in `address[0..4)`, or -1. */
  find(router: number, address: Int32Array): number {
    const index = this.#index;
    const first = index.words[index.at(router)]!;
    const end = first + index.words[index.at(router) + 1]!;
    const { words } = this.#rows;
    const family = isMapped(address) ? 1 : 0;
    for (let row = first; row < end; row++) {
      const at = this.#rows.at(row);
      if (words[at + IS_IPV4] !== family) continue;
      if (covers(words, at, words[at + LENGTH]!, address)) return row;
    }
    return -1;
  }

  outPort(row: number): number {
    return this.#rows.words[this.#rows.at(row) + OUT_PORT]!;
  }

  /** Replaces `address[0..4)` by the route's next hop; leaves it when the network is connected. */
  applyNextHop(row: number, address: Int32Array): void {
    const { words } = this.#rows;
    const at = this.#rows.at(row) + NEXT_HOP;
    if ((words[at]! | words[at + 1]! | words[at + 2]! | words[at + 3]!) === 0) return;
    for (let i = 0; i < 4; i++) address[i] = words[at + i]!;
  }
}

function isMapped(address: ArrayLike<number>): boolean {
  return address[0] === 0 && address[1] === 0 && address[2] === IPV4_MAPPED;
}

function covers(words: Int32Array, at: number, length: number, address: Int32Array): boolean {
  for (let i = 0, left = length; left > 0; i++, left -= 32) {
    // A shift by 32 is a shift by 0 in JavaScript: a whole word has its own branch.
    const mask = left >= 32 ? -1 : -1 << (32 - left);
    if (((words[at + i]! ^ address[i]!) & mask) !== 0) return false;
  }
  return true;
}
