/**
 * How much a chassis writes without waiting: a token bucket, so that one at which many documents
 * are written in a row leaves time to others, as all check, merge and compile it. Run by the
 * control thread.
 */

/** Documents in a second, and as many at once. */
export const WRITES_PER_SECOND = 1000;
/** What was too much is waited for by those who come within this time. */
export const DEBT_MAX_MS = 1000;

export class WriteBudget {
  readonly #now: () => number;
  /** When all that was written will have been allowed, in milliseconds of the clock. */
  #paidMs = Number.NEGATIVE_INFINITY;

  /** `now` counts milliseconds and never steps. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Documents were written. */
  spend(documents: number): void {
    const nowMs = this.#now();
    const costMs = (documents * 1000) / WRITES_PER_SECOND;
    const fullMs = nowMs - 1000; // As much at once as in a second.
    this.#paidMs = Math.min(Math.max(this.#paidMs, fullMs) + costMs, nowMs + DEBT_MAX_MS);
  }

  /** Whether the next write would better come later. */
  get isSpent(): boolean {
    return this.#paidMs > this.#now();
  }
}
