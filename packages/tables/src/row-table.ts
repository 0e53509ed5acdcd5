/**
 * Rows of a fixed number of words, found by their number. The base of the tables whose fields have
 * names (ports, datapaths, endpoints): those own the names, this owns the arithmetic.
 */
import { sharedWords } from "./shared-words.ts";

/** The table's words; every row has `width` words. */
export function buildRows(width: number, rows: readonly (readonly number[])[]): Int32Array {
  const words = sharedWords(width * rows.length);
  for (const [number, row] of rows.entries()) {
    if (row.length !== width) {
      throw new RangeError(`expected ${width} words in row ${number}, got ${row.length}`);
    }
    words.set(row, number * width);
  }
  return words;
}

export class Rows {
  readonly words: Int32Array;
  readonly width: number;
  readonly count: number;

  constructor(width: number, words: Int32Array) {
    this.words = words;
    this.width = width;
    this.count = words.length / width;
  }

  /** Index of a row's first word in `words`. */
  at(row: number): number {
    return row * this.width;
  }
}
