/**
 * The newest generations that a worker holds, so that a packet that began under one of them ends
 * under it too, wherever it has waited meanwhile. One that began under another ends under the
 * newest: chassis that do not hear of each other's changes still forward to each other.
 */
import type { Tables } from "@rhone/tables/generation";

/** Generations that a worker holds. */
export const GENERATIONS_HELD = 4;

export class TableHistory {
  /** The newest first. */
  #held: readonly Tables[];

  /** `first` is what is known already, the newest first, and at least one. */
  constructor(...first: readonly Tables[]) {
    this.#held = first.slice(0, GENERATIONS_HELD);
  }

  get newest(): Tables {
    return this.#held[0]!;
  }

  /** Those of an age: 0 is the newest, below GENERATIONS_HELD; null if there are none. */
  at(age: number): Tables | null {
    return this.#held[age] ?? null;
  }

  /** Makes `tables` the newest. The same generation compiled anew replaces its former self. */
  adopt(tables: Tables): void {
    const isAnew = tables.generation === this.newest.generation;
    const older = isAnew ? this.#held.slice(1) : this.#held;
    this.#held = [tables, ...older].slice(0, GENERATIONS_HELD);
  }

  /**
   * The age of the tables for a packet of `generation`: the newest that are not newer than it. One
   * from a chassis that is ahead of us gets our newest, and so does one that is older than all that
   * we hold: its chassis has not heard of our changes for a while.
   */
  ageFor(generation: number): number {
    for (let age = 0; age < this.#held.length; age++) {
      if (generation >= this.#held[age]!.generation) return age;
    }
    return 0;
  }

  /** As `ageFor`: the tables. */
  find(generation: number): Tables {
    return this.#held[this.ageFor(generation)]!;
  }
}
