/**
 * How long an answer is waited for, by how long the answers before took: RFC 6298, with a shorter
 * least time, since a question is small and asking twice does no harm. Runs on the control thread.
 */

const FIRST_MS = 100;
/** Less than it says more about the scheduler than about the network. */
const LEAST_MS = 50;
const GAIN = 1 / 8;
const VARIATION_GAIN = 1 / 4;
const VARIATIONS = 4;

export class Patience {
  readonly #mostMs: number;
  #smoothMs: number | null = null;
  #variationMs = 0;
  #ms: number;

  constructor(mostMs: number) {
    this.#mostMs = mostMs;
    this.#ms = Math.min(FIRST_MS, mostMs);
  }

  /** For the next answer. */
  get ms(): number {
    return this.#ms;
  }

  /**
   * An answer took `tookMs` (§2.2, §2.3). It belongs to one asking of a question, also where that
   * was asked before, so it says something each time; TCP cannot tell (§3).
   */
  answered(tookMs: number): void {
    const smoothMs = this.#smoothMs ?? tookMs;
    const isFirst = this.#smoothMs === null;
    const deviationMs = Math.abs(smoothMs - tookMs);
    this.#variationMs = isFirst
      ? tookMs / 2
      : this.#variationMs + VARIATION_GAIN * (deviationMs - this.#variationMs);
    this.#smoothMs = smoothMs + GAIN * (tookMs - smoothMs);
    const ms = this.#smoothMs + VARIATIONS * this.#variationMs;
    this.#ms = Math.min(this.#mostMs, Math.max(LEAST_MS, ms));
  }

  /** No answer came: the next is waited for twice as long, until one has come (§5.5). */
  missed(): void {
    this.#ms = Math.min(this.#mostMs, 2 * this.#ms);
  }
}
