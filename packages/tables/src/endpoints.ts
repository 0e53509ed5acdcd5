/**
 * Tunnel endpoints: the other chassis, by row.
 *
 *   row: [address word 0–3, short id]
 */
import type { AddressWords } from "./ports.ts";
import { buildRows, Rows } from "./row-table.ts";

export interface Endpoint {
  readonly address: AddressWords;
  /** 16-bit number of the chassis, as in the stamp. */
  readonly shortId: number;
}

/** The table's words. */
export function buildEndpoints(endpoints: readonly Endpoint[]): Int32Array {
  return buildRows(
    5,
    endpoints.map(({ address, shortId }) => [...address, shortId]),
  );
}

export class Endpoints {
  readonly #rows: Rows;

  constructor(words: Int32Array) {
    this.#rows = new Rows(words);
  }

  get count(): number {
    return this.#rows.count;
  }

  /** Writes the address of `row` to `target[at..at+4)`. */
  copyAddress(row: number, target: Int32Array, at: number): void {
    const from = this.#rows.at(row);
    for (let i = 0; i < 4; i++) target[at + i] = this.#rows.words[from + i]!;
  }

  shortId(row: number): number {
    return this.#rows.words[this.#rows.at(row) + 4]!;
  }
}
