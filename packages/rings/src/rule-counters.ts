/**
 * How many packets each rule decided about, as one worker counts them: written by that worker only,
 * read by anybody at any time.
 *
 *   number 0 …   packets, by the counter index that the control thread gave the rule
 *
 * A rule keeps its index over generations, so the counts go on when rules around it change. As in
 * counters.ts, a number is a 64-bit float: exact to 2⁵³, counted without allocation.
 */

/** Rules of a chassis that are counted. */
export const RULES_MAX = 16_384;

/** Bytes of shared memory that one worker's rule counters take. */
export const RULE_COUNTERS_SIZE = RULES_MAX * 8;

export class RuleCounters {
  readonly #hits: Float64Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#hits = new Float64Array(buffer, 0, RULES_MAX);
  }

  /** Of a rule that is not counted, the index is -1. */
  count(index: number): void {
    if (index >= 0) this.#hits[index]! += 1;
  }

  hits(index: number): number {
    return this.#hits[index]!;
  }
}
