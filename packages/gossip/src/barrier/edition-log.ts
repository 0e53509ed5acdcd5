/** The tables that a chassis has given its workers of late. Run by the control thread. */
import type { Vector } from "@rhone/state/ledger";

/** Of the state that tables were compiled from. */
export interface Content {
  /** Up to which write of each chassis it goes. */
  readonly vector: Vector;
  readonly revision: number;
  /** Equal where the state is. */
  readonly root: string;
}

export interface Edition extends Content {
  readonly edition: number;
  /** Whether it begins as soon as it is held, whatever others say. */
  readonly isUrgent: boolean;
  readonly publishedMs: number;
  /** When every worker held it; null until then. */
  heldMs: number | null;
  /** Who said that packets of it meet the same there. */
  readonly exact: Set<string>;
  /** Whether those whose writes are in it were told that we wait for them. */
  hasReminded: boolean;
}

export class EditionLog {
  readonly #editionsMax: number;
  /** The newest first. */
  #list: Edition[] = [];
  #begun = 0;

  /** Remembers as many as workers hold. */
  constructor(editionsMax: number) {
    this.#editionsMax = editionsMax;
  }

  /** The newest first: those that are not begun, and some that were. */
  get all(): readonly Edition[] {
    return this.#list;
  }

  /** What has not begun, the newest first. */
  get waiting(): readonly Edition[] {
    return this.#list.filter(({ edition }) => edition > this.#begun);
  }

  get newest(): Edition | undefined {
    return this.#list[0];
  }

  get newestHeld(): Edition | undefined {
    return this.#list.find(({ heldMs }) => heldMs !== null);
  }

  add(edition: Edition): void {
    this.#list.unshift(edition);
    if (this.#list.length > this.#editionsMax) this.#list.pop();
  }

  /** All up to `edition` are held. */
  hold(edition: number, nowMs: number): boolean {
    let isNews = false;
    for (const each of this.#list) {
      if (each.edition > edition || each.heldMs !== null) continue;
      each.heldMs = nowMs;
      isNews = true;
    }
    return isNews;
  }

  begin(edition: number): void {
    this.#begun = edition;
  }

  /** What a packet of that generation runs under here, as workers look for it. */
  find(revision: number): Edition | undefined {
    return this.#list.find((each) => each.heldMs !== null && each.revision <= revision);
  }
}

/** Lets `clocks` go up to at least what `vector` says of each chassis. */
export function raise(clocks: Map<string, number>, vector: Vector): void {
  for (const [name, clock] of Object.entries(vector)) {
    if (clock > (clocks.get(name) ?? 0)) clocks.set(name, clock);
  }
}
