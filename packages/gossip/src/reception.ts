/**
 * Looks at each message of other chassis before anybody acts on it: whether it is one, of a kind
 * that belongs where it came, not of a namesake, and not more than is taken from one chassis. What
 * is not taken is counted under a name. Runs on the control thread.
 */
import type { RefusalReason } from "@rhone/state/store";
import type { Message } from "./codec.ts";
import { Inflow } from "./inflow.ts";
import { PEERS_MAX } from "./peer-table.ts";

/** Why something was not taken. */
export type GossipRefusal =
  | RefusalReason
  /** Not a message, or on a subject that is not for it. */
  | "gossip-malformed"
  /** Another chassis uses our name. */
  | "gossip-namesake"
  /** More than PEERS_MAX peers. */
  | "gossip-too-many"
  /** Its origin says more than is taken from one: it is fetched later. */
  | "gossip-too-fast";

export interface ReceptionOptions {
  /** Name of this chassis. */
  readonly self: string;
  readonly decode: (data: Uint8Array) => Message | null;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  /** `who` is the chassis in whose name it came, "unknown" when that cannot be said. */
  readonly onRefusal: ((reason: GossipRefusal, who: string, detail: string) => void) | undefined;
}

/** Counts since the start. */
export interface ReceptionCounters {
  /** Messages received, fetched pages not included. */
  readonly received: number;
  /** Of these, dropped, each under the reason of that name. */
  readonly malformed: number;
  readonly fromNamesake: number;
  readonly fromTooMany: number;
  readonly fromTooFast: number;
}

export class Reception {
  readonly #options: ReceptionOptions;
  readonly #inflow: Inflow;
  #receivedCount = 0;
  readonly #counts = { malformed: 0, fromNamesake: 0, fromTooMany: 0, fromTooFast: 0 };

  constructor(options: ReceptionOptions) {
    this.#options = options;
    this.#inflow = new Inflow({ now: options.now, originsMax: PEERS_MAX });
  }

  get counters(): ReceptionCounters {
    return { received: this.#receivedCount, ...this.#counts };
  }

  /** Whether a change of `origin` is to be read; else it is counted, and has to be fetched. */
  takesMore(origin: string, data: Uint8Array): boolean {
    if (this.#inflow.takes(origin, data.length)) return true;
    this.#receivedCount++;
    this.#counts.fromTooFast++;
    this.#refuse("gossip-too-fast", origin, `a change of ${data.length} bytes is fetched later`);
    return false;
  }

  /** The message in `data` if it is of `types`, and from `origin` if that is given; else null. */
  read<T extends Message["type"]>(
    data: Uint8Array,
    types: readonly T[],
    origin?: string,
  ): Extract<Message, { type: T }> | null {
    this.#receivedCount++;
    const message = this.#options.decode(data);
    const isExpected = message !== null && (types as readonly string[]).includes(message.type);
    if (!isExpected || (origin !== undefined && message.from !== origin)) {
      this.#counts.malformed++;
      const detail = `expected ${types.join(" or ")}, got ${data.length} bytes`;
      this.#refuse("gossip-malformed", origin ?? "unknown", detail);
      return null;
    }
    if (message.from === this.#options.self) {
      this.#counts.fromNamesake++;
      this.#refuse("gossip-namesake", message.from, "another chassis uses our name");
      return null;
    }
    return message as Extract<Message, { type: T }>;
  }

  /** A message of a chassis for which there is no room. */
  refuseOneMore(from: string): void {
    this.#counts.fromTooMany++;
    this.#refuse("gossip-too-many", from, "no room for one more chassis");
  }

  #refuse(reason: GossipRefusal, who: string, detail: string): void {
    this.#options.onRefusal?.(reason, who, detail);
  }
}
