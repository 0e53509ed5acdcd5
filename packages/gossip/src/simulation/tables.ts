/**
 * The data plane of a simulated chassis, as far as its control thread sees it: workers that hold
 * tables some milliseconds after they were given them, or that hang. Tables are nothing but the
 * state that they were compiled from. What is held, found and begun is as in table-history.ts of
 * dataplane-worker.
 */
import type { Content } from "../barrier/edition-log.ts";
import type { Process } from "./machine.ts";

const ADOPT_MIN_MS = 0.5;
const ADOPT_MAX_MS = 6;
/** Editions that workers hold, and how long one that was replaced: as table-history.ts has them. */
export const EDITIONS_HELD = 8;
export const HELD_MS = 1000;

export interface Table extends Content {
  readonly edition: number;
}

export interface SimulatedTablesOptions {
  readonly process: Process;
  /** What the chassis starts with. */
  readonly first: Content;
  /** Every worker holds all editions up to this one. */
  readonly onHeld: (edition: number) => void;
  /** Packets begin under other tables from now on. */
  readonly onBegun: () => void;
}

export class SimulatedTables {
  readonly #options: SimulatedTablesOptions;
  /** The newest first. */
  #held: readonly Table[];
  /** When packets ceased to begin under them. */
  readonly #replacedMs = new WeakMap<Table, number>();
  /** What workers have not taken up, the oldest first. */
  readonly #coming: Table[] = [];
  #begun: Table;
  /** What they have been told to begin. */
  #toBegin = 0;
  #edition = 0;
  #adoptedMs = 0;
  #hungCount = 0;

  constructor(options: SimulatedTablesOptions) {
    this.#options = options;
    this.#begun = { edition: 0, ...options.first };
    this.#held = [this.#begun];
  }

  /** What packets begin under. */
  get begun(): Table {
    return this.#begun;
  }

  get newestHeld(): Table {
    return this.#held[0]!;
  }

  /** What a packet of that generation runs under here; null when nothing so old is held. */
  find(revision: number): Table | null {
    const { nowMs } = this.#options.process.machine.world;
    const isHeld = (table: Table): boolean => {
      return nowMs - (this.#replacedMs.get(table) ?? nowMs) < HELD_MS;
    };
    return this.#held.find((table) => table.revision <= revision && isHeld(table)) ?? null;
  }

  /** Gives them to the workers; returns their edition. */
  publish(content: Content): number {
    const { process } = this.#options;
    const { world } = process.machine;
    const table = { edition: ++this.#edition, ...content };
    const takenMs = world.nowMs + world.between(ADOPT_MIN_MS, ADOPT_MAX_MS);
    this.#adoptedMs = Math.max(this.#adoptedMs, takenMs); // One after the other.
    process.after(this.#adoptedMs - world.nowMs, () => {
      this.#coming.push(table);
      this.#adopt();
    });
    return table.edition;
  }

  /** Whether workers hold it, so that packets begin under it at once. */
  begin(edition: number): boolean {
    this.#toBegin = edition;
    this.#follow();
    return this.#begun.edition === edition;
  }

  /** The workers take nothing up until what is returned is called. */
  hang(): () => void {
    this.#hungCount++;
    return () => {
      this.#hungCount--;
      this.#options.process.after(0, () => this.#adopt());
    };
  }

  #adopt(): void {
    while (this.#hungCount === 0 && this.#coming.length > 0) {
      const table = this.#coming.shift()!;
      const held = [table, ...this.#held];
      // What packets begin under stays, even where all others are newer.
      if (held.length > EDITIONS_HELD) held.splice(held.at(-1) === this.#begun ? -2 : -1, 1);
      this.#held = held;
      this.#follow();
      this.#options.onHeld(table.edition);
    }
  }

  /** Workers begin what they hold; what they were told before they did, as soon as they do. */
  #follow(): void {
    const next = this.#held.find(({ edition }) => edition === this.#toBegin);
    if (next === undefined || next === this.#begun) return;
    const { nowMs } = this.#options.process.machine.world;
    this.#begun = next;
    for (const table of this.#held) {
      const isReplaced = table.edition < next.edition && !this.#replacedMs.has(table);
      if (isReplaced) this.#replacedMs.set(table, nowMs);
    }
    this.#options.onBegun();
  }
}
