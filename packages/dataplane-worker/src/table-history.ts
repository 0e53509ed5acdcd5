/**
 * The newest generations that a worker holds, so that a packet that began under one of them ends
 * under it too, wherever it has waited meanwhile. One that began under another ends under the
 * newest: chassis that do not hear of each other's changes still forward to each other.
 */
import type { Tables } from "@rhone/tables/generation";

/** Editions of tables that a worker holds; of one generation there may be several. */
export const GENERATIONS_HELD = 8;

export class TableHistory {
  /** The newest first. */
  #held: readonly Tables[];
  #foundAge = 0;

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

  /** The age of what was found last. */
  get foundAge(): number {
    return this.#foundAge;
  }

  /** Makes `tables` the newest. */
  adopt(tables: Tables): void {
    this.#held = [tables, ...this.#held].slice(0, GENERATIONS_HELD);
  }

  /**
   * The tables for a packet of `generation`: the newest that are not newer than it. One from a
   * chassis that is ahead of us gets our newest, and so does one that is older than all that we
   * hold: its chassis has not heard of our changes for a while.
   */
  find(generation: number): Tables {
    for (let age = 0; age < this.#held.length; age++) {
      if (generation < this.#held[age]!.generation) continue;
      this.#foundAge = age;
      return this.#held[age]!;
    }
    this.#foundAge = 0;
    return this.newest;
  }

  /** The tables of that edition, null when they are not held any more. */
  findEdition(edition: number): Tables | null {
    for (let age = 0; age < this.#held.length; age++) {
      if (edition !== this.#held[age]!.edition) continue;
      this.#foundAge = age;
      return this.#held[age]!;
    }
    return null;
  }
}
