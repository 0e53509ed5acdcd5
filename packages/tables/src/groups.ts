/**
 * Who gets a copy of a packet for many: for each switch, its ports on this chassis and the other
 * chassis that have ports of it (one copy each: they copy on).
 *
 *   index rows, one a datapath:  [first local member, count, first remote member, count]
 *   member words:                a port row, or an endpoint row
 */
import { buildRows, Rows } from "./row-table.ts";

const INDEX_WIDTH = 4;

export interface Group {
  /** Rows of the ports on this chassis, router ports included. */
  readonly local: readonly number[];
  /** Rows of the endpoints of the other chassis. */
  readonly remote: readonly number[];
}

/** The words of the index and of the members; `groups[d]` belongs to datapath row `d`. */
export function buildGroups(groups: readonly Group[]): { index: Int32Array; members: Int32Array } {
  const index: number[][] = [];
  const members: number[][] = [];
  for (const { local, remote } of groups) {
    const localAt = members.length;
    for (const row of local) members.push([row]);
    index.push([localAt, local.length, members.length, remote.length]);
    for (const row of remote) members.push([row]);
  }
  return { index: buildRows(INDEX_WIDTH, index), members: buildRows(1, members) };
}

export class Groups {
  readonly #index: Rows;
  readonly #members: Rows;

  constructor(index: Int32Array, members: Int32Array) {
    this.#index = new Rows(INDEX_WIDTH, index);
    this.#members = new Rows(1, members);
  }

  localCount(datapath: number): number {
    return this.#indexWord(datapath, 1);
  }

  /** Port row of local member `i`. */
  local(datapath: number, i: number): number {
    return this.#member(this.#indexWord(datapath, 0) + i);
  }

  remoteCount(datapath: number): number {
    return this.#indexWord(datapath, 3);
  }

  /** Endpoint row of remote member `i`. */
  remote(datapath: number, i: number): number {
    return this.#member(this.#indexWord(datapath, 2) + i);
  }

  #indexWord(datapath: number, word: number): number {
    return this.#index.words[this.#index.at(datapath) + word]!;
  }

  #member(i: number): number {
    return this.#members.words[this.#members.at(i)]!;
  }
}
