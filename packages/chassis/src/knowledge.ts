/**
 * How old the knowledge of this chassis is, and what follows from it: connections begin only where
 * no one says `maxStaleSeconds`, or they are not over. The workers see to that
 * (connection-tracking.ts); here the time is kept for them. Runs on the control thread.
 */
import { ageOfKnowledge } from "@rhone/gossip/known-by-most";
import type { KnowledgeTime } from "@rhone/rings/knowledge-time";
import type { Store } from "@rhone/state/store";

/** Far less than the least that a switch may ask for. */
const LOOK_MS = 250;

export interface KnowledgeOptions {
  readonly store: Store;
  /** The other chassis that there should be, dead or alive. */
  readonly members: () => readonly { readonly name: string }[];
  /** Those that were heard, and when we last held all that each of them held. */
  readonly peers: () => readonly { readonly name: string; readonly heldMs: number | null }[];
  /** For the workers. */
  readonly time: KnowledgeTime;
  /** Milliseconds on the chassis's clock. */
  readonly now: () => number;
}

export class Knowledge {
  readonly #options: KnowledgeOptions;
  readonly #timer: NodeJS.Timeout;

  /** Keeps the time from now on. */
  constructor(options: KnowledgeOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.look(), LOOK_MS).unref();
    this.look();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Takes in what is known now. */
  look(): void {
    const { time, now } = this.#options;
    time.set(now(), this.ageMs);
  }

  /** Milliseconds since all was known that more than half of all chassis held; may be infinite. */
  get ageMs(): number {
    const { members, peers, now } = this.#options;
    const heldMs = new Map(peers().map((peer) => [peer.name, peer.heldMs]));
    return ageOfKnowledge(
      now(),
      members().map(({ name }) => heldMs.get(name) ?? null),
    );
  }

  /** For health: whether connections may begin everywhere. */
  check(): { readonly name: string; readonly ok: boolean; readonly detail: string } {
    const { store } = this.#options;
    const { ageMs } = this;
    const age = Number.isFinite(ageMs)
      ? `what most chassis had ${Math.round(ageMs / 1000)} s ago is known`
      : "what most chassis have has not been known since the start";
    const closed = store.snapshot().switches.filter(({ value }) => {
      return value.maxStaleSeconds !== undefined && ageMs > value.maxStaleSeconds * 1000;
    });
    if (closed.length === 0) return { name: "knowledge", ok: true, detail: age };
    const names = closed.map(({ name }) => name).join(", ");
    return { name: "knowledge", ok: false, detail: `${age}: nothing begins in ${names}` };
  }
}
