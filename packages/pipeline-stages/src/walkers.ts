/**
 * Which flows have a packet in this batch that walks the stages: the fast path leaves those behind
 * it to walk too. Flows are told apart by some bits of their hash, so one may walk without need.
 */
const MARKS = 4096;
const MARK_SHIFT = 8; // The top bits are the bucket, the same for many packets of a batch.

export class Walkers {
  readonly #marks = new Int32Array(MARKS);
  #batch = 0;

  /** Begins a batch: nobody walks. */
  begin(): void {
    this.#batch = (this.#batch + 1) | 0;
  }

  add(flowHash: number): void {
    this.#marks[(flowHash >>> MARK_SHIFT) & (MARKS - 1)] = this.#batch;
  }

  has(flowHash: number): boolean {
    return this.#marks[(flowHash >>> MARK_SHIFT) & (MARKS - 1)] === this.#batch;
  }
}
