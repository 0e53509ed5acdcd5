/**
 * Under which of the tables that its workers hold a chassis begins packets: one word of shared
 * memory, which every worker looks at before each batch.
 *
 *   word   0   begun   edition of the tables   written by control, once every worker holds them
 *
 * Control stores `begun`, then looks whether a worker sleeps; the worker stores that it sleeps,
 * then looks at `begun` once more. Both are sequentially consistent, so one of the two sees the
 * other.
 */
const BEGUN = 0;

/** Bytes of shared memory; nothing else lies in the same lines of the cache. */
export const BEGUN_EDITION_SIZE = 128;

export class BegunEdition {
  readonly #words: Int32Array;

  constructor(buffer = new SharedArrayBuffer(BEGUN_EDITION_SIZE)) {
    this.#words = new Int32Array(buffer, 0, BEGUN_EDITION_SIZE / 4);
  }

  get(): number {
    return Atomics.load(this.#words, BEGUN);
  }

  set(edition: number): void {
    Atomics.store(this.#words, BEGUN, edition);
  }
}
