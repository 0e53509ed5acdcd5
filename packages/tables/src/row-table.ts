/**
 * Rows of a fixed number of words, found by their number. The base of the tables whose fields have
 * names (ports, datapaths, endpoints): those own the names, this owns the arithmetic.
 *
 *   word   0   words per row
 *   word   1   rows
 *   word   2…  the rows
 */
export const HEADER_WORDS = 2;

/** The table's words; every row has `width` words. */
export function buildRows(width: number, rows: readonly (readonly number[])[]): Int32Array {
  const words = new Int32Array(HEADER_WORDS + width * rows.length);
  words[0] = width;
  words[1] = rows.length;
  for (const [number, row] of rows.entries()) {
    if (row.length !== width) {
      throw new RangeError(`expected ${width} words in row ${number}, got ${row.length}`);
    }
    words.set(row, HEADER_WORDS + number * width);
  }
  return words;
}

export class Rows {
  readonly words: Int32Array;
  readonly width: number;
  readonly count: number;

  constructor(words: Int32Array) {
    this.words = words;
    this.width = words[0]!;
    this.count = words[1]!;
  }

  /** Index of a row's first word in `words`. */
  at(row: number): number {
    return HEADER_WORDS + row * this.width;
  }
}
