/**
 * A token bucket: `ratePerSecond` on average, up to `burst` at once. Time comes in as an argument,
 * as in Core.
 */
export class Meter {
  readonly #ratePerMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledAtMs = 0;

  constructor(ratePerSecond: number, burst: number) {
    this.#ratePerMs = ratePerSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Whether one more is within the rate; takes a token if so. */
  admits(nowMs: number): boolean {
    const filled = this.#tokens + ((nowMs - this.#filledAtMs) >>> 0) * this.#ratePerMs;
    this.#tokens = Math.min(filled, this.#burst);
    this.#filledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
