/**
 * Which worker has the port of which device, as the control thread knows it: enough for another one
 * to go on with it, also when the first one is dead.
 */
import type { Driver } from "@rhone/dataplane-worker/plan";
import { closePort, type PortState } from "@rhone/netio/movable-port";

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
  /** What its holder was told to close, and has not said that it has. */
  readonly #closing = new Map<number, LedgerEntry>();

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

  /** Something was opened, and maybe it is to be closed already. */
  open(index: number, state: PortState): void {
    const entry = this.#entries.get(index) ?? this.#closing.get(index);
    if (entry !== undefined) entry.state = state;
  }

  /**
   * A worker has let go of it for another one, and nobody reads that port until somebody adopts it.
   * `holder` is who was told to, null when there is nobody to tell.
   */
  pass(index: number, state: PortState | null, holder: number | null): void {
    const entry = this.#entries.get(index);
    if (entry !== undefined)
      Object.assign(entry, { state, holder: state === null ? null : holder });
  }

  /** Nobody is to have it any more. Returns the worker that has to close it; null: it is closed. */
  close(index: number): number | null {
    const entry = this.#entries.get(index);
    this.#entries.delete(index);
    if (entry === undefined) return null;
    if (entry.holder !== null) this.#closing.set(index, entry);
    else if (entry.state !== null) closePort(entry.state);
    return entry.holder;
  }

  /** Nothing is left of it. */
  delete(index: number): void {
    this.#entries.delete(index);
  }

  /** A worker has it no more: it was closed, it went away, or it was never there. */
  closed(index: number): void {
    this.#closing.delete(index);
    const entry = this.#entries.get(index);
    if (entry !== undefined) Object.assign(entry, { holder: null, state: null, isRefused: true });
  }

  /** What a worker has that died, for others to take over. */
  orphan(worker: number): LedgerEntry[] {
    const orphans = [...this.#entries.values()].filter(({ holder }) => holder === worker);
    for (const entry of orphans) entry.holder = null;
    return orphans;
  }

  /** Closes what a worker should have closed that died; returns the indices. */
  closeFor(worker: number): number[] {
    const left = [...this.#closing].filter(([, { holder }]) => holder === worker);
    for (const [, { state }] of left) if (state !== null) closePort(state);
    return left.map(([index]) => index);
  }

  /** What nobody has and somebody should. */
  unheld(): [number, LedgerEntry][] {
    return [...this.#entries].filter(([, { holder, isRefused }]) => holder === null && !isRefused);
  }
}
