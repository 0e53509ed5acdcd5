/**
 * How much is taken from each chassis: a token bucket for each of them, so that one which says more
 * than all others together, by mistake or on purpose, cannot have all of the control thread. What
 * is not taken costs a look at its subject, and is fetched later in pages, as if it had been lost.
 * Runs on the control thread.
 */

/**
 * Tokens of one origin: what it gains in a second, and has at most. A message costs one, and one
 * more for each 512 bytes: to read it takes 0.3 to 0.5 ms, most of it for the signature, and as
 * much again for a few writes more. One chassis answers about as many requests as that.
 */
export const TOKENS_PER_SECOND = 1000;
export const TOKENS_MAX = 2000;
export const TOKEN_SIZE = 512; // bytes

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

  /** Whether one more message of `origin`, of `size` bytes, is taken now. */
  takes(origin: string, size: number): boolean {
    const { now, originsMax } = this.#options;
    const nowMs = now();
    const known = this.#buckets.get(origin);
    this.#buckets.delete(origin);
    if (this.#buckets.size >= originsMax) this.#buckets.delete(this.#buckets.keys().next().value!);
    const bucket = known ?? { tokens: TOKENS_MAX, atMs: nowMs };
    this.#buckets.set(origin, bucket);
    const gained = ((nowMs - bucket.atMs) * TOKENS_PER_SECOND) / 1000;
    bucket.tokens = Math.min(TOKENS_MAX, bucket.tokens + gained);
    bucket.atMs = nowMs;
    const cost = 1 + size / TOKEN_SIZE;
    if (bucket.tokens < cost) return false;
    bucket.tokens -= cost;
    return true;
  }
}
