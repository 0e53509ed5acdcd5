/**
 * Logical switches and routers, by row.
 *
 *   row: [kind, key (24 bits: the VNI on the wire), gateway, most age of knowledge]
 */
import { buildRows, Rows } from "./row-table.ts";

export const KIND_SWITCH = 1;
export const KIND_ROUTER = 2;

const WIDTH = 4;

export interface Datapath {
  readonly kind: number;
  /** 1–16777215. */
  readonly key: number;
  /** Row of the first router's port in a switch, -1 none. */
  readonly gateway: number;
  /** Milliseconds: with knowledge that is older, no connection begins. 0 when that is no matter. */
  readonly maxStaleMs: number;
}

/** The table's words. */
export function buildDatapaths(datapaths: readonly Datapath[]): Int32Array {
  return buildRows(
    WIDTH,
    datapaths.map(({ kind, key, gateway, maxStaleMs }) => [kind, key, gateway, maxStaleMs]),
  );
}

export class Datapaths {
  readonly #rows: Rows;

  constructor(words: Int32Array) {
    this.#rows = new Rows(WIDTH, words);
  }

  get count(): number {
    return this.#rows.count;
  }

  kind(row: number): number {
    return this.#rows.words[this.#rows.at(row)]!;
  }

  key(row: number): number {
    return this.#rows.words[this.#rows.at(row) + 1]!;
  }

  maxStaleMs(row: number): number {
    return this.#rows.words[this.#rows.at(row) + 3]!;
  }

  gateway(row: number): number {
    return this.#rows.words[this.#rows.at(row) + 2]!;
  }
}
