/**
 * Which counter each rule has, and what the counters say. Run by the control thread.
 *
 * A rule keeps its counter for as long as it exists. One that became free is given away again as
 * late as possible: a worker may still count packets of the old rule, which began before it went.
 */
import { RULES_MAX, type RuleCounters } from "@rhone/rings/rule-counters";

export class RuleHits {
  readonly #workers: readonly RuleCounters[];
  readonly #indices = new Map<string, number>();
  #published: ReadonlyMap<string, number> = new Map();
  /** What a counter said when its rule got it: only workers write counters. */
  readonly #before = new Float64Array(RULES_MAX);
  readonly #freed: number[] = [];
  #unused = 0;

  /** `workers` are the counters of every worker of the chassis. */
  constructor(workers: readonly RuleCounters[]) {
    this.#workers = workers;
  }

  /**
   * Gives a counter to each of `names` while there are any, and takes those of others back. Returns
   * the same map while nobody's changes, and never changes one that it returned.
   */
  follow(names: readonly string[]): ReadonlyMap<string, number> {
    const wanted = new Set(names);
    let hasChanged = false;
    for (const [name, index] of this.#indices) {
      if (wanted.has(name)) continue;
      hasChanged = true;
      this.#indices.delete(name);
      this.#freed.push(index);
    }
    for (const name of names) {
      if (this.#indices.has(name)) continue;
      const index = this.#unused < RULES_MAX ? this.#unused++ : this.#freed.shift();
      if (index === undefined) break;
      this.#before[index] = this.#total(index);
      this.#indices.set(name, index);
      hasChanged = true;
    }
    if (hasChanged) this.#published = new Map(this.#indices);
    return this.#published;
  }

  /** Packets that the rule decided about on this chassis; 0 for one without a counter. */
  of(name: string): number {
    const index = this.#indices.get(name);
    return index === undefined ? 0 : this.#total(index) - this.#before[index]!;
  }

  #total(index: number): number {
    return this.#workers.reduce((sum, counters) => sum + counters.hits(index), 0);
  }
}
