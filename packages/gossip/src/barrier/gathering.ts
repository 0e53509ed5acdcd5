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
/** Where it took longer, what has changed is told before it is compiled here. */
const SHORT_MS = 5;
/** So long what comes is compiled without a pause, once packets wait for it. */
const HURRY_MS = 50;
/** The same where others wait for us: their questions do not come quite as regularly as asked. */
const PACE_ASKED_MS = 10;
/** What has been compiled and not begun, as a Barrier says it. */
export interface Waiting {
  readonly waitingCount: number;
  /** Whether something has waited for long. */
  readonly isCrowded: boolean;
  /** When our next writes may be asked about, in milliseconds of the clock. */
  readonly askDueMs: number;
}

export interface GatheringOptions {
  /** Compiles what is known now, and publishes it. */
  readonly compile: (isUrgent: boolean) => void;
  readonly waiting: () => Waiting;
  /** Generations that workers hold, 2 or more: the one that packets begin under among them. */
  readonly editionsMax: number;
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
  #durationMs = 0;
  #hurryUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: GatheringOptions) {
    this.#options = options;
  }

  /** Something has changed that is compiled soon. */
  mark(): void {
    this.#markFor(GATHER_MS, PACE_MS);
  }

  /** We have written something that others will be asked about. */
  markWritten(): void {
    this.#markFor(GATHER_MS, PACE_MS, this.#options.waiting().askDueMs);
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
    if (this.#cancelTimer !== null) this.#scheduleAt(Math.max(nowMs, this.#restedMs));
  }

  /** Packets begin under a generation, so that one less waits. */
  onBegin(): void {
    if (!this.#isDammed) return;
    this.#isDammed = false;
    this.#markFor(0, 0);
  }

  /** Compiles now; unless it is urgent, not while too many generations wait to begin. */
  compile(isUrgent = false): void {
    const { compile, waiting, now } = this.#options;
    const { waitingCount } = waiting();
    this.stop();
    this.#isDammed = !isUrgent && waitingCount >= this.#waitingMax;
    if (this.#isDammed) {
      this.#scheduleAt(now() + PACE_MS);
      return;
    }
    this.#compiledAtMs = now();
    compile(isUrgent);
    this.#durationMs = now() - this.#compiledAtMs;
  }

  /**
   * Generations that may wait to begin. Half of those that workers hold are for packets that began
   * under one before; once what waits has waited for so long that none of these is on its way, all
   * but the one that packets begin under.
   */
  get #waitingMax(): number {
    const { waiting, editionsMax } = this.#options;
    return waiting().isCrowded ? editionsMax - 1 : editionsMax >> 1;
  }

  /** Nothing that was marked is compiled any more. */
  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  #markFor(gatherMs: number, paceMs: number, fromMs = 0): void {
    const nowMs = this.#options.now();
    const isHurried = nowMs < this.#hurryUntilMs;
    const isQuiet = gatherMs === GATHER_MS && nowMs - this.#compiledAtMs >= QUIET_MS;
    const mostMs = isHurried ? GATHER_MS : gatherMs;
    const gatheredMs = nowMs + (isQuiet ? 0 : Math.min(gatherMs, mostMs));
    const pacedMs = Math.max(this.#compiledAtMs + paceMs, fromMs);
    const dueMs = Math.max(gatheredMs, this.#restedMs, isHurried ? 0 : pacedMs);
    if (this.#cancelTimer !== null && this.#dueMs <= dueMs) return;
    this.#scheduleAt(dueMs);
  }

  /** Until then everything else has its turn: compiling takes half of the time at most. */
  get #restedMs(): number {
    return this.#compiledAtMs + 2 * this.#durationMs;
  }

  #scheduleAt(dueMs: number): void {
    const { now, setTimer } = this.#options;
    this.#cancelTimer?.();
    this.#dueMs = dueMs;
    const delayMs = dueMs - now();
    if (delayMs > 0 || this.#durationMs > SHORT_MS) {
      this.#cancelTimer = setTimer(() => this.compile(), Math.max(0, delayMs));
      return;
    }
    // Before what was sent now is on its way: what is said about it goes out together with it.
    let isCancelled = false;
    this.#cancelTimer = () => {
      isCancelled = true;
    };
    queueMicrotask(() => {
      if (!isCancelled) this.compile();
    });
  }
}
