/** What others have asked about tables, and wait for us to answer. Run by the control thread. */
import type { Vector } from "@rhone/state/ledger";
import type { EditionLog } from "./edition-log.ts";
import type { Ask, Held } from "./messages.ts";

/** Questions of one chassis that are not answered yet. */
const QUESTIONS_MAX = 8;

export class OpenQuestions {
  readonly #log: EditionLog;
  readonly #vector: () => Vector;
  /** Of each chassis, the newest first. */
  readonly #asks = new Map<string, readonly Ask[]>();

  /** `vector` is the store's, now. */
  constructor(log: EditionLog, vector: () => Vector) {
    this.#log = log;
    this.#vector = vector;
  }

  get origins(): Iterable<string> {
    return this.#asks.keys();
  }

  add(origin: string, ask: Ask): void {
    this.#asks.set(origin, [ask, ...(this.#asks.get(origin) ?? [])].slice(0, QUESTIONS_MAX));
  }

  drop(origin: string): void {
    this.#asks.delete(origin);
  }

  /** The answer to the newest question of `origin` that has one; those before it need none. */
  answer(origin: string): Held | null {
    const asks = this.#asks.get(origin) ?? [];
    const clock = this.#log.newestHeld?.vector[origin] ?? 0;
    const isExact = (ask: Ask): boolean => this.#log.find(ask.revision)?.root === ask.root;
    const at = asks.findIndex((ask) => ask.clock <= clock || isExact(ask));
    const ask = asks[at];
    if (ask === undefined) return null;
    if (at === 0) this.#asks.delete(origin);
    else this.#asks.set(origin, asks.slice(0, at));
    const root = isExact(ask) ? ask.root : "";
    return { type: "held", clock: Math.max(clock, ask.clock), root };
  }

  /** Whether the store has what is asked about. */
  isKnown(origin: string, ask: Ask): boolean {
    return (this.#vector()[origin] ?? 0) >= ask.clock;
  }

  /** Whether all that is missing for an answer is to compile. */
  needsCompiling(origin: string, ask: Ask): boolean {
    const compiled = this.#log.newest?.vector[origin] ?? 0;
    return compiled < ask.clock && this.isKnown(origin, ask);
  }

  get needCompiling(): boolean {
    return [...this.#asks].some(([origin, asks]) => {
      return asks.some((ask) => this.needsCompiling(origin, ask));
    });
  }
}
