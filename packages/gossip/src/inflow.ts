/**
 * How much is taken from each chassis: a token bucket for each of them, so that one which says more
 * than all others together, by mistake or on purpose, cannot have all of the control thread. What
 * is not taken costs a look at its subject, and is fetched later in pages, as if it had been lost.
 * Runs on the control thread.
 */

/**
 * Changes of one origin, sustained and at once. Reading one takes some 0.3 ms, most of it for the
 * signature; one chassis answers about as many writes in a second as this lets pass.
 */
export const CHANGES_PER_SECOND = 1000;
export const CHANGES_BURST = 2000;

export interface InflowOptions {
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  /** Origins remembered; of more, whoever was silent longest starts anew with a full bucket. */
  readonly originsMax: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

export class Inflow {
  readonly #options: InflowOptions;
  /** Those that were heard last come last. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: InflowOptions) {
    this.#options = options;
  }

  /** Whether one more message of `origin` is taken now. */
  takes(origin: string): boolean {
    const { now, originsMax } = this.#options;
    const nowMs = now();
    const known = this.#buckets.get(origin);
    this.#buckets.delete(origin);
    if (this.#buckets.size >= originsMax) this.#buckets.delete(this.#buckets.keys().next().value!);
    const bucket = known ?? { tokens: CHANGES_BURST, atMs: nowMs };
    this.#buckets.set(origin, bucket);
    const gained = ((nowMs - bucket.atMs) * CHANGES_PER_SECOND) / 1000;
    bucket.tokens = Math.min(CHANGES_BURST, bucket.tokens + gained);
    bucket.atMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }
}
