/** What a barrier needs of the chassis that it runs in, and of the others. */
import type { Vector } from "@rhone/state/ledger";
import type { SetTimer, Transport } from "../transport.ts";

export interface BarrierOptions {
  readonly self: string;
  /** As many as workers hold: what has been given to them before is not there any more. */
  readonly editionsMax: number;
  /** Of the store, now. */
  readonly vector: () => Vector;
  /** Lets packets begin under an edition. */
  readonly begin: (edition: number) => void;
  /** Others have compiled what the store holds, and wait for us. */
  readonly hurry: () => void;
  /** Hears who was waited for in vain, until a limit was over. */
  readonly onOverdue?: (names: readonly string[], edition: number) => void;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  readonly setTimer: SetTimer;
}

/** How to reach the others. */
export interface Company {
  readonly transport: Transport;
  /** Fetches what a peer holds. */
  readonly want: (peer: string) => void;
}
