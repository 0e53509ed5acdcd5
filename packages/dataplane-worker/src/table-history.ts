/**
 * The newest generations that a worker holds, so that a packet that began under one of them ends
 * under it too, wherever it has waited meanwhile. One that began under another ends under the one
 * that is begun: chassis that do not hear of each other's changes still forward to each other.
 *
 * Packets begin under one of them, which need not be the newest: those before it in the list are
 * held for packets that began elsewhere, and wait until all who have to hold them do.
 */
import { isNewer, type Tables } from "@rhone/tables/generation";

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
  #begunAge = 0;
  #foundAge = 0;

  /** `first` is what is known already, the newest first, and at least one; the newest is begun. */
  constructor(...first: readonly Tables[]) {
    this.#held = first.slice(0, GENERATIONS_HELD);
    this.#endsMs = this.#held.map(() => null);
  }

  get newest(): Tables {
    return this.#held[0]!;
  }

  /** Those that packets begin under. */
  get begun(): Tables {
    return this.#held[this.#begunAge]!;
  }

  get begunAge(): number {
    return this.#begunAge;
  }

  /** Those of an age: 0 is the newest, below GENERATIONS_HELD; null if there are none. */
  at(age: number): Tables | null {
    return this.#held[age] ?? null;
  }

  /** The age of what was found last. */
  get foundAge(): number {
    return this.#foundAge;
  }

  /** Takes in what is the newest from now on; packets begin as before. */
  hold(tables: Tables): void {
    const held = [tables, ...this.#held];
    const ends = [null, ...this.#endsMs];
    this.#begunAge++;
    if (held.length > GENERATIONS_HELD) {
      // What packets begin under stays, even where all others are newer.
      const dropped = this.#begunAge === GENERATIONS_HELD ? GENERATIONS_HELD - 1 : GENERATIONS_HELD;
      held.splice(dropped, 1);
      ends.splice(dropped, 1);
      if (dropped < this.#begunAge) this.#begunAge--;
    }
    this.#held = held;
    this.#endsMs = ends;
  }

  /** Lets packets begin under that edition; false when it is not held. */
  begin(edition: number): boolean {
    const age = this.#held.findIndex((tables) => tables.edition === edition);
    if (age < 0) return false;
    this.#begunAge = age;
    // In a worker that has just started it may have been taken for one that was replaced.
    this.#endsMs = this.#endsMs.map((endMs, i) => (i <= age ? null : endMs));
    return true;
  }

  /** Lets go of what was replaced long ago. `nowMs` is as in Core; to be called once a loop. */
  expire(nowMs: number): void {
    const ends = this.#endsMs;
    const first = this.#begunAge + 1;
    for (let age = first; age < ends.length; age++) ends[age] ??= (nowMs + HELD_MS) | 0;
    let kept = ends.length;
    while (kept > first && ((nowMs - ends[kept - 1]!) | 0) >= 0) kept--;
    if (kept === ends.length) return;
    this.#held = this.#held.slice(0, kept);
    this.#endsMs = ends.slice(0, kept);
  }

  /**
   * The tables for a packet of `generation`: the newest that are not newer than it. One from a
   * chassis that is ahead of us gets our newest. One that is older than all that we hold begins
   * anew, as it were: its chassis has not heard of our changes for a while.
   */
  find(generation: number): Tables {
    const exactAge = this.#ageOf(generation);
    for (let age = exactAge ?? 0; age < this.#held.length; age++) {
      if (exactAge === null && isNewer(this.#held[age]!.generation, generation)) continue;
      this.#foundAge = age;
      return this.#held[age]!;
    }
    this.#foundAge = this.#begunAge;
    return this.begun;
  }

  /** Whether a packet of `generation` began under tables that are newer than all that we hold. */
  isAhead(generation: number): boolean {
    return this.#ageOf(generation) === null && isNewer(generation, this.newest.generation);
  }

  /**
   * The age of the newest held tables of just that generation, null when there are none. To be
   * asked before `isNewer`, which is wrong for two that lie further apart than its 2³¹ ticks: those
   * before and those after a change, where there had been none for weeks.
   */
  #ageOf(generation: number): number | null {
    for (let age = 0; age < this.#held.length; age++) {
      if (((this.#held[age]!.generation - generation) | 0) === 0) return age;
    }
    return null;
  }

  /** The newest, as what was found last. */
  findNewest(): Tables {
    this.#foundAge = 0;
    return this.newest;
  }

  /**
   * As `find`, for a packet that has waited here: of several editions of one generation the one
   * that packets begin under, so that it overtakes none of those, nor they it.
   */
  findHere(generation: number): Tables {
    const found = this.find(generation);
    const isAhead = this.#foundAge < this.#begunAge;
    if (!isAhead || found.generation !== this.begun.generation) return found;
    this.#foundAge = this.#begunAge;
    return this.begun;
  }

  /**
   * Those of that edition; where they are not held, those before them, or else the oldest. Who got
   * an older edition than another packet never gets a newer one than that, so neither overtakes.
   */
  findNear(edition: number): Tables {
    const oldest = this.#held.length - 1;
    let age = 0;
    while (age < oldest && this.#held[age]!.edition > edition) age++;
    this.#foundAge = age;
    return this.#held[age]!;
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
