/**
 * Until when a chassis knows what the others do, in shared memory: written by the control thread,
 * read by the workers when a connection begins where that matters.
 *
 *   word   0   known at   chassis clock, milliseconds, the low 32 bits   written by control
 *
 * It stands still when the control thread does: who cannot say that it knows does not.
 */
const KNOWN_AT = 0;

/** Bytes of shared memory that it takes. */
export const KNOWLEDGE_TIME_SIZE = 128;
/** What is older is no older than that: differences of 32 bits must mean something. */
export const KNOWLEDGE_AGE_MAX_MS = 7 * 86_400_000;

export class KnowledgeTime {
  readonly #words: Int32Array;

  constructor(buffer = new SharedArrayBuffer(KNOWLEDGE_TIME_SIZE)) {
    this.#words = new Int32Array(buffer, 0, KNOWLEDGE_TIME_SIZE / 4);
  }

  /** `nowMs` on the chassis's clock; `ageMs` up to infinity. */
  set(nowMs: number, ageMs: number): void {
    Atomics.store(this.#words, KNOWN_AT, (nowMs - Math.min(ageMs, KNOWLEDGE_AGE_MAX_MS)) | 0);
  }

  /** `nowMs` are the low 32 bits of the same clock. Negative when it was set a moment later. */
  ageMs(nowMs: number): number {
    return (nowMs - Atomics.load(this.#words, KNOWN_AT)) | 0;
  }
}
