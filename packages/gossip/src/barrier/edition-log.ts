/** The tables that a chassis has given its workers of late. Run by the control thread. */
import type { Vector } from "@rhone/state/ledger";

/** Of the state that tables were compiled from. */
export interface Content {
  /** Up to which write of each chassis it goes. */
  readonly vector: Vector;
  readonly revision: number;
  /** Equal where the state is. */
  readonly root: string;
  /** Whether there is more in it than the vector says. */
  readonly hasGap?: boolean;
}

/** Tables that are given to the workers. */
export interface Published extends Content {
  readonly edition: number;
  /** Whether it begins as soon as it is held, whatever others say. */
  readonly isUrgent: boolean;
  readonly publishedMs: number;
}

export interface Edition extends Published {
  /** When every worker held it; null until then. */
  heldMs: number | null;
  /** Who said that packets of it meet the same there. */
  readonly exact: Set<string>;
  /** Whether those whose writes are in it were told that we wait for them. */
  hasReminded: boolean;
  /** Whose writes in it have not begun. Few, where a vector names every chassis. */
  news: readonly string[];
}

export class EditionLog {
  readonly #editionsMax: number;
  /** The newest first. */
  #list: Edition[] = [];
  #begun = 0;
  /** Up to which write of each chassis the tables go that are begun. */
  readonly #inForce = new Map<string, number>();
  #rootInForce = "";

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

  /** Of the tables that are begun. */
  get rootInForce(): string {
    return this.#rootInForce;
  }

  /** Up to which write of a chassis these tables go, 0 for none. */
  inForceOf(name: string): number {
    return this.#inForce.get(name) ?? 0;
  }

  add(published: Published): void {
    // What was known at the start is nobody's news.
    if (this.#list.length === 0) this.#putInForce(published);
    const news = this.#newsAmong(Object.keys(published.vector), published);
    const heard = { heldMs: null, exact: new Set<string>(), hasReminded: false };
    this.#list.unshift({ ...published, ...heard, news });
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

  begin(edition: Edition): void {
    this.#begun = edition.edition;
    this.#putInForce(edition);
    for (const each of this.waiting) each.news = this.#newsAmong(each.news, each);
  }

  /** What a packet of that generation runs under here, as workers look for it. */
  find(revision: number): Edition | undefined {
    return this.#list.find((each) => each.heldMs !== null && each.revision <= revision);
  }

  #putInForce({ vector, root }: Content): void {
    raise(this.#inForce, vector);
    this.#rootInForce = root;
  }

  #newsAmong(names: readonly string[], { vector }: Content): readonly string[] {
    return names.filter((name) => vector[name]! > this.inForceOf(name));
  }
}

/** Lets `clocks` go up to at least what `vector` says of each chassis. */
export function raise(clocks: Map<string, number>, vector: Vector): void {
  for (const [name, clock] of Object.entries(vector)) {
    if (clock > (clocks.get(name) ?? 0)) clocks.set(name, clock);
  }
}
