/**
 * Which worker has the port of which device, as the control thread knows it: enough for another one
 * to go on with it, also when the first one is dead.
 */
import type { Driver } from "@rhone/dataplane-worker/plan";
import type { PortState } from "@rhone/netio/movable-port";

export interface LedgerEntry {
  readonly device: string;
  readonly driver: Driver;
  /** The worker that was told to open or adopt it last, null when nobody is to have it now. */
  holder: number | null;
  /** What is open; null while nothing is. */
  state: PortState | null;
  /** It was refused or went away: it waits to be tried again. */
  isRefused: boolean;
}

export class PortLedger {
  readonly #entries = new Map<number, LedgerEntry>();

  /** Indices in use, in ascending order. */
  get indices(): number[] {
    return [...this.#entries.keys()].sort((a, b) => a - b);
  }

  get(index: number): LedgerEntry | undefined {
    return this.#entries.get(index);
  }

  /** A device is to be opened by whoever owns it. */
  want(index: number, device: string, driver: Driver): void {
    const entry = { device, driver, holder: null, state: null, isRefused: false };
    this.#entries.set(index, entry);
  }

  delete(index: number): void {
    this.#entries.delete(index);
  }

  /** What a worker has that died, for others to take over. */
  orphan(worker: number): LedgerEntry[] {
    const orphans = [...this.#entries.values()].filter(({ holder }) => holder === worker);
    for (const entry of orphans) entry.holder = null;
    return orphans;
  }

  /** What nobody has and somebody should. */
  unheld(): [number, LedgerEntry][] {
    return [...this.#entries].filter(([, { holder, isRefused }]) => holder === null && !isRefused);
  }
}
