/**
 * Counts what was refused, by reason, and says which of it is worth a line in the log: one a
 * minute for each peer, since whoever sends rubbish sends a lot of it. Runs on the control thread.
 */

export const LOG_INTERVAL_MS = 60_000;
/** Peers remembered; of more, nothing is logged until the minute is over. */
const PEERS_MAX = 1024;

export interface RefusalsOptions {
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  /** Hears of the first refusal of a peer in a minute. */
  readonly onRefusal?: (reason: string, peer: string, detail: string) => void;
}

export class Refusals {
  readonly #options: RefusalsOptions;
  readonly #counts = new Map<string, number>();
  readonly #logged = new Map<string, number>();

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  /** Since the start, by reason. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }

  /** `reason` is one of a fixed set of names; `detail` is never a secret. */
  add(reason: string, peer: string, detail: string): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
    const { now, onRefusal } = this.#options;
    const nowMs = now();
    const lastMs = this.#logged.get(peer);
    if (lastMs !== undefined && nowMs - lastMs < LOG_INTERVAL_MS) return;
    if (this.#logged.size >= PEERS_MAX) this.#forget(nowMs);
    if (this.#logged.size >= PEERS_MAX) return;
    this.#logged.set(peer, nowMs);
    onRefusal?.(reason, peer, detail);
  }

  #forget(nowMs: number): void {
    for (const [peer, atMs] of this.#logged) {
      if (nowMs - atMs >= LOG_INTERVAL_MS) this.#logged.delete(peer);
    }
  }
}
