/**
 * The two newest generations that a worker holds, so that a packet that began under the one before
 * ends under it too.
 */
import type { Tables } from "@rhone/tables/generation";

export class TableHistory {
  #newest: Tables;
  #previous: Tables | null = null;

  constructor(first: Tables) {
    this.#newest = first;
  }

  get newest(): Tables {
    return this.#newest;
  }

  /** The generation before, null if there was none. */
  get previous(): Tables | null {
    return this.#previous;
  }

  /** Makes `tables` the newest. The same generation compiled anew replaces its former self. */
  adopt(tables: Tables): void {
    if (tables.generation !== this.#newest.generation) this.#previous = this.#newest;
    this.#newest = tables;
  }

  /**
   * The tables for a packet of `generation`: the newest that is not newer than it. A packet from a
   * chassis that is ahead of us gets our newest; null for one older than all that we hold.
   */
  find(generation: number): Tables | null {
    if (generation >= this.#newest.generation) return this.#newest;
    const previous = this.#previous;
    return previous !== null && generation >= previous.generation ? previous : null;
  }
}
