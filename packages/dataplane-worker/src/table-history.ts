/**
 * The newest generations that a worker holds, so that a packet that began under one of them ends
 * under it too, wherever it has waited meanwhile. One that began under another ends under the
 * newest: chassis that do not hear of each other's changes still forward to each other.
 */
import type { Tables } from "@rhone/tables/generation";

/** Editions of tables that a worker holds; of one generation there may be several. */
export const GENERATIONS_HELD = 8;
/**
 * How long they are held after others took their place. No packet is on its way for longer; one
 * that comes later under them is from a chassis that does not hear of our changes, and must not
 * escape them.
 */
export const HELD_MS = 1000;

export class TableHistory {
  /** The newest first. */
  #held: readonly Tables[];
  /** By age: until when, as `nowMs` counts; null as long as nobody has looked at the clock. */
  #endsMs: (number | null)[];
  #foundAge = 0;

  /** `first` is what is known already, the newest first, and at least one. */
  constructor(...first: readonly Tables[]) {
    this.#held = first.slice(0, GENERATIONS_HELD);
    this.#endsMs = this.#held.map(() => null);
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
    this.#endsMs = [null, ...this.#endsMs].slice(0, GENERATIONS_HELD);
  }

  /** Lets go of what was replaced long ago. `nowMs` is as in Core; to be called once a loop. */
  expire(nowMs: number): void {
    const ends = this.#endsMs;
    for (let age = 1; age < ends.length; age++) ends[age] ??= (nowMs + HELD_MS) | 0;
    let kept = ends.length;
    while (kept > 1 && ((nowMs - ends[kept - 1]!) | 0) >= 0) kept--;
    if (kept === ends.length) return;
    this.#held = this.#held.slice(0, kept);
    this.#endsMs = ends.slice(0, kept);
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
