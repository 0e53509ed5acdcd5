/**
 * What peers said that may be on its way here, and is looked at once more after a moment. One timer
 * for all of them: while a cluster starts, every peer is doubted. Runs on the control thread.
 */
import type { Said } from "./puller.ts";
import type { SetTimer } from "./transport.ts";

export interface DoubtsOptions {
  readonly now: () => number;
  readonly setTimer: SetTimer;
  readonly graceMs: number;
  /** Hears of it when the time is over. */
  readonly onDue: (peer: string, said: Said) => void;
}

export class Doubts {
  readonly #options: DoubtsOptions;
  /** By peer, those that are due first come first. */
  readonly #doubts = new Map<string, { readonly said: Said; readonly dueMs: number }>();
  #cancelTimer: (() => void) | null = null;

  constructor(options: DoubtsOptions) {
    this.#options = options;
  }

  /** It takes the place of what the peer said before. */
  add(peer: string, said: Said): void {
    const { now, graceMs } = this.#options;
    this.#doubts.delete(peer);
    this.#doubts.set(peer, { said, dueMs: now() + graceMs });
    this.#expect();
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#doubts.clear();
  }

  #expect(): void {
    const { now, setTimer } = this.#options;
    const [first] = this.#doubts.values();
    if (first === undefined || this.#cancelTimer !== null) return;
    this.#cancelTimer = setTimer(() => {
      this.#cancelTimer = null;
      this.#look();
      this.#expect();
    }, first.dueMs - now());
  }

  #look(): void {
    const { now, onDue } = this.#options;
    for (const [peer, { said, dueMs }] of this.#doubts) {
      if (dueMs > now()) return;
      this.#doubts.delete(peer);
      onDue(peer, said);
    }
  }
}
