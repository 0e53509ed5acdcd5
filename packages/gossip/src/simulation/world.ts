/**
 * What a simulation owns in place of the machine it runs on: time, chance, and the log of all that
 * happened. The same seed gives the same events, to the last byte of the last message.
 */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers";
import { EventQueue } from "../event-queue.ts";
import { seededRandom } from "../seeded-random.ts";

const LINES_LENGTH_MAX = 16_384;

export class World {
  /** Uniform in [0, 1); the only source of chance. */
  readonly random: () => number;
  nowMs = 0;
  eventCount = 0;
  /** To be called when a promise was settled: what waits for it runs before time goes on. */
  readonly settled = (): void => {
    this.#hasSettled = true;
  };
  readonly #queue = new EventQueue();
  readonly #digest = createHash("sha256");
  readonly #onLine: ((line: string) => void) | undefined;
  #hasSettled = false;
  /** Lines that are not in the digest yet. */
  #lines = "";

  /** `onLine` hears every line of the log, for whoever looks into a failure. */
  constructor(seed: number, onLine?: (line: string) => void) {
    this.random = seededRandom(seed);
    this.#onLine = onLine;
  }

  /** Of the log so far; equal for equal runs. */
  get digest(): string {
    this.#flush();
    return this.#digest.copy().digest("hex");
  }

  log(text: string, data?: Uint8Array): void {
    const line = `${this.nowMs} ${text}\n`;
    this.#lines += line;
    if (data !== undefined || this.#lines.length > LINES_LENGTH_MAX) this.#flush();
    if (data !== undefined) this.#digest.update(data);
    this.#onLine?.(line);
  }

  #flush(): void {
    this.#digest.update(this.#lines);
    this.#lines = "";
  }

  after(delayMs: number, run: () => void): void {
    this.#queue.add(this.nowMs + delayMs, run);
  }

  at(atMs: number, run: () => void): void {
    this.#queue.add(atMs, run);
  }

  between(min: number, max: number): number {
    return min + this.random() * (max - min);
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  /** A waiting time with that mean, as of events that do not know of each other. */
  waiting(meanMs: number): number {
    return -meanMs * Math.log(1 - this.random());
  }

  pick<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.random() * list.length)];
  }

  /** Lets time pass until `endMs`, or until `isOver` says so after an event. */
  async run(endMs: number, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const event = this.#queue.takeBefore(endMs);
      if (event === undefined) {
        this.nowMs = endMs;
        return;
      }
      this.nowMs = event.atMs;
      this.eventCount++;
      event.run();
      if (!this.#hasSettled) continue;
      this.#hasSettled = false;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
