/** What the other chassis of a gateway's group have said last, and how long that counts. */
import type { Entry } from "./messages.ts";

/** How long a voter keeps its word, and how long it counts what it has heard. */
export const PROMISE_MS = 1000;

export interface Voice {
  readonly incarnation: number;
  readonly seq: number;
  readonly heardMs: number;
  readonly entry: Entry;
  /** Since when it could forward, as far as we have heard; null: it cannot. */
  readonly ableSinceMs: number | null;
}

export class Voices {
  readonly #voices = new Map<string, Voice>();

  hear(from: string, said: Pick<Voice, "incarnation" | "seq" | "entry">, nowMs: number): void {
    const last = this.fresh(from, nowMs);
    const isSame = last?.incarnation === said.incarnation;
    const ableSinceMs = isSame ? (last.ableSinceMs ?? nowMs) : nowMs;
    const isAble = said.entry.stance !== "idle";
    this.#voices.set(from, { ...said, heardMs: nowMs, ableSinceMs: isAble ? ableSinceMs : null });
  }

  /** undefined: it was never heard, or not for long. */
  fresh(chassis: string, nowMs: number): Voice | undefined {
    const voice = this.#voices.get(chassis);
    return voice !== undefined && nowMs - voice.heardMs < PROMISE_MS ? voice : undefined;
  }

  /** Another chassis that says that it forwards, the one of the highest epoch. */
  active(nowMs: number): readonly [string, Voice] | undefined {
    return [...this.#voices]
      .filter(([name, { entry }]) => {
        return entry.stance === "active" && this.fresh(name, nowMs) !== undefined;
      })
      .sort(([, a], [, b]) => b.entry.epoch - a.entry.epoch)[0];
  }

  /** When what they have said counts no more. */
  endsMs(): number[] {
    return [...this.#voices.values()].map(({ heardMs }) => heardMs + PROMISE_MS);
  }
}
