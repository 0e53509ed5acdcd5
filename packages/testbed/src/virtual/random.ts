/** Random choices from a seed: the same seed gives the same run. */

/** mulberry32: 32 bits of state are plenty for choices in a test. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** An integer from 0 to `count` - 1. */
  below(count: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % count;
  }

  /** True once in `times`, on average. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  shuffled<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const k = this.below(i + 1);
      [shuffled[i], shuffled[k]] = [shuffled[k]!, shuffled[i]!];
    }
    return shuffled;
  }
}

/** A number from a seed and bytes (FNV-1a), for choices that must not depend on the order. */
export function hashOf(seed: number, ...parts: readonly (string | Uint8Array)[]): number {
  let hash = 0x811c9dc5 ^ seed;
  for (const part of parts) {
    for (const byte of typeof part === "string" ? Buffer.from(part) : part) {
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
  }
  return new Random(hash).below(2 ** 31);
}
