/**
 * Words that every thread reads and none writes once they are published. Run by the control thread.
 */

/** Words of their own, all 0. */
export function sharedWords(count: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(count * 4));
}

/** The words in shared memory: themselves, when they are there already. */
export function asShared(words: Int32Array): Int32Array {
  if (words.buffer instanceof SharedArrayBuffer) return words;
  const shared = sharedWords(words.length);
  shared.set(words);
  return shared;
}

/** A part more than is needed, so that appending copies seldom. */
const SPARE = 1 / 4;
const SPARE_MIN = 4096; // Words.

/**
 * Makes a table longer without copying it. Two generations have the same words then, of which the
 * older one sees those up to its own end: what is behind, nobody who holds it can reach.
 */
export class Appender {
  #buffer: ArrayBufferLike | null = null;
  /** Words in it that a table has had: they never change again. */
  #filled = 0;

  /** The words of `before` and `count` behind them, which are the caller's to write. */
  append(before: Int32Array, count: number): Int32Array {
    const length = before.length + count;
    const isNext = before.buffer === this.#buffer && before.length === this.#filled;
    if (!isNext || length * 4 > before.buffer.byteLength) this.#move(before, length);
    this.#filled = length;
    return new Int32Array(this.#buffer!, 0, length);
  }

  /** The words of `before` elsewhere, to be written to, with room for more behind them. */
  copy(before: Int32Array): Int32Array {
    this.#move(before, before.length);
    this.#filled = before.length;
    return new Int32Array(this.#buffer!, 0, before.length);
  }

  #move(before: Int32Array, length: number): void {
    const spare = Math.max(SPARE_MIN, Math.ceil(length * SPARE));
    this.#buffer = new SharedArrayBuffer((length + spare) * 4);
    new Int32Array(this.#buffer).set(before);
  }
}
