/**
 * When the next question of the barrier may be asked. One that all answer alike settles everybody's
 * writes in it, so whoever has written something waits while others ask, and often need not ask any
 * more. Run by the control thread.
 */

/** How long a question that is not settled keeps writes from coming; */
const BUSY_MS = 10;
/** and others from asking. */
const OPEN_MS = 25;
/** Where there were so many within that time, by all chassis together, */
const MANY = 8;
const MANY_MS = 400;
/** the next one waits so long. */
const SLOW_MS = 50;
/** Those who wait for the same moment take it one after the other. */
const TURN_MS = 2;
const TURNS = 4;

export interface Asked {
  readonly origin: string;
  readonly clock: number;
  readonly root: string;
}

export class AskPace {
  #latest: Asked | null = null;
  #count = 0;
  /** When the latest were asked, the newest first. */
  readonly #times: number[] = [];

  /** What was asked last and may still be settled. */
  get open(): Asked | null {
    return this.#latest;
  }

  /** Whether what was asked a moment ago may still be settled. */
  isOpen(nowMs: number): boolean {
    return this.#latest !== null && nowMs - this.#times[0]! < BUSY_MS;
  }

  /** Somebody asks. */
  note(asked: Asked, nowMs: number): void {
    this.#latest = asked;
    this.#count++;
    this.#times.unshift(nowMs);
    if (this.#times.length > MANY) this.#times.pop();
  }

  /** What was asked last need not be waited for. */
  settle(): void {
    this.#latest = null;
  }

  /** From when on the next may be asked. */
  get dueMs(): number {
    const [latestMs] = this.#times;
    if (latestMs === undefined) return Number.NEGATIVE_INFINITY;
    const isMany = this.#times.length === MANY && latestMs - this.#times[MANY - 1]! < MANY_MS;
    if (isMany) return latestMs + SLOW_MS;
    return this.#latest === null ? latestMs : latestMs + OPEN_MS;
  }

  /** The same for the chassis of that rank, so that not all ask at once. */
  turnMs(rank: number): number {
    return this.dueMs + ((rank + this.#count) % TURNS) * TURN_MS;
  }
}
