/**
 * When a chassis compiles what it has learnt: what comes within some milliseconds becomes one
 * generation, and generations follow each other no faster than workers and the other chassis take
 * them up. Runs on the control thread.
 */
import type { SetTimer } from "../transport.ts";

/** Events within this time become one generation, */
const GATHER_MS = 5;
/** unless there was none for so long: the first one of many does not wait for the others. */
const QUIET_MS = 50;
/** What others write they ask about when they have compiled it: then it is compiled here, too. */
const GATHER_OTHERS_MS = 30;
/**
 * Shortest time between two generations: workers hold a few of them, so that a packet that began
 * under one ends under it; with many changes in a row that shall still be some time.
 */
const PACE_MS = 25;
/** So long what comes is compiled without a pause, once packets wait for it. */
const HURRY_MS = 50;
/** The same where others wait for us: their questions do not come quite as regularly as asked. */
const PACE_ASKED_MS = 10;
/** Generations that may wait to begin, of those that workers hold. */
const WAITING_MAX = 4;

export interface GatheringOptions {
  /** Compiles what is known now, and publishes it. */
  readonly compile: (isUrgent: boolean) => void;
  /** Generations that were published and have not begun. */
  readonly waitingCount: () => number;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  readonly setTimer: SetTimer;
}

export class Gathering {
  readonly #options: GatheringOptions;
  #cancelTimer: (() => void) | null = null;
  #dueMs = 0;
  /** Whether a generation waits for others to begin, since too many are held. */
  #isDammed = false;
  #compiledAtMs = Number.NEGATIVE_INFINITY;
  #hurryUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: GatheringOptions) {
    this.#options = options;
  }

  /** Something has changed that is compiled soon. */
  mark(): void {
    this.#markFor(GATHER_MS, PACE_MS);
  }

  /** Others have changed something, and will ask for it when they have compiled it. */
  markAsked(): void {
    this.#markFor(GATHER_OTHERS_MS, PACE_MS);
  }

  /**
   * Others have compiled what we know, and wait for us: at once where it may be. What comes a
   * moment later belongs to the next generation.
   */
  follow(): void {
    this.#markFor(0, PACE_ASKED_MS);
    if (this.#cancelTimer !== null && this.#dueMs <= this.#options.now()) this.compile();
  }

  /** Packets wait for something that is known already, or is about to be. */
  hurry(): void {
    const nowMs = this.#options.now();
    this.#hurryUntilMs = nowMs + HURRY_MS;
    if (this.#cancelTimer !== null) this.#scheduleAt(nowMs);
  }

  /** Packets begin under a generation, so that one less waits. */
  onBegin(): void {
    if (!this.#isDammed) return;
    this.#isDammed = false;
    this.#markFor(0, 0);
  }

  /** Compiles now; unless it is urgent, not while too many generations wait to begin. */
  compile(isUrgent = false): void {
    const { compile, waitingCount, now } = this.#options;
    this.stop();
    this.#isDammed = !isUrgent && waitingCount() >= WAITING_MAX;
    if (this.#isDammed) return;
    this.#compiledAtMs = now();
    compile(isUrgent);
  }

  /** Nothing that was marked is compiled any more. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  #markFor(gatherMs: number, paceMs: number): void {
    const nowMs = this.#options.now();
    const isHurried = nowMs < this.#hurryUntilMs;
    const isQuiet = gatherMs === GATHER_MS && nowMs - this.#compiledAtMs >= QUIET_MS;
    const mostMs = isHurried ? GATHER_MS : gatherMs;
    const gatheredMs = nowMs + (isQuiet ? 0 : Math.min(gatherMs, mostMs));
    const dueMs = isHurried ? gatheredMs : Math.max(gatheredMs, this.#compiledAtMs + paceMs);
    if (this.#cancelTimer !== null && this.#dueMs <= dueMs) return;
    this.#scheduleAt(dueMs);
  }

  #scheduleAt(dueMs: number): void {
    const { now, setTimer } = this.#options;
    this.#cancelTimer?.();
    this.#dueMs = dueMs;
    this.#cancelTimer = setTimer(() => this.compile(), dueMs - now());
  }
}
