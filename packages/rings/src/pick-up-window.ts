/**
 * For how long a chassis takes answers for what they are though it knows no question: its process
 * came in the place of another one, with which the table of connections went. Shared memory,
 * written by the control thread, read by the workers for what belongs to no connection they know.
 *
 *   word   0   until    chassis clock, milliseconds, the low 32 bits   written by control
 *          1   isOpen   1 from `open` to `close`, else 0               written by control
 *
 * Control stores `until`, then `isOpen`; workers load them the other way round. It is over at
 * `until` also when the control thread hangs; `close` is for the day when the clock's low bits come
 * round again.
 */
const UNTIL = 0;
const IS_OPEN = 1;

/** Bytes of shared memory; nothing else lies in the same lines of the cache. */
export const PICK_UP_WINDOW_SIZE = 128;
/**
 * Who has sent something in vain sends it again after at most as long as it has waited already
 * (RFC 6298 §5.5): so this serves whoever was cut off for half as long.
 */
export const PICK_UP_MS = 30_000;

export class PickUpWindow {
  readonly #words: Int32Array;

  /** Closed, in memory that is new. */
  constructor(buffer = new SharedArrayBuffer(PICK_UP_WINDOW_SIZE)) {
    this.#words = new Int32Array(buffer, 0, PICK_UP_WINDOW_SIZE / 4);
  }

  /** From now on and for PICK_UP_MS. `nowMs` on the chassis's clock. */
  open(nowMs: number): void {
    Atomics.store(this.#words, UNTIL, (nowMs + PICK_UP_MS) | 0);
    Atomics.store(this.#words, IS_OPEN, 1);
  }

  close(): void {
    Atomics.store(this.#words, IS_OPEN, 0);
  }

  /** `nowMs` are the low 32 bits of the same clock. */
  isOpen(nowMs: number): boolean {
    if (Atomics.load(this.#words, IS_OPEN) === 0) return false;
    return ((Atomics.load(this.#words, UNTIL) - nowMs) | 0) >= 0;
  }
}
