/**
 * The store of one chassis: the desired state, durable, changed by transactions of its own and by
 * writes of its peers. Run by the control thread; every call is synchronous.
 */
import type { Cursor, Page, Vector } from "./ledger.ts";
import type { Result } from "./problem.ts";
import type { Entry } from "./record.ts";
import type { Document, Kind } from "./schema.ts";
import type { State } from "./state.ts";
import type { Portion } from "./write.ts";

export type Change =
  /** `document` may be anything that came in: the store checks it. */
  { readonly op: "put"; readonly document: unknown } | Delete;

export interface Delete {
  readonly op: "delete";
  readonly kind: Kind;
  readonly name: string;
}

/** Who asks: users may not write the kinds that only a chassis writes. */
export type Author = "user" | "chassis";

export interface Commit {
  /** The revision from which on the state contains the changes. */
  readonly revision: number;
  /** What is new; empty when everything was so already, and then the revision is unchanged. */
  readonly entries: readonly Entry[];
}

/**
 * Says what else belongs into a transaction that changes something, from what it is about to
 * commit: a document of a kind that the changes do not have. It is written with them or not at all.
 */
export type Companion = (commit: Commit) => Document;

export type Listener = (
  entries: readonly Entry[],
  source: "local" | "peer",
  /** What was written; empty when peers wrote it. */
  portions: readonly Portion[],
) => void;

/** Why something of a peer was not taken. */
export const REFUSALS = [
  "seal-malformed",
  "seal-unsigned",
  "seal-of-unknown-signer",
  "seal-forged",
  "seal-future",
  "write-malformed",
  "write-not-sealed",
  "write-not-owned",
] as const;
export type RefusalReason = (typeof REFUSALS)[number];

export interface Refusal {
  readonly reason: RefusalReason;
  /** The chassis in whose name it came. */
  readonly origin: string;
}

export interface Merged {
  /** Writes that were news. */
  readonly news: number;
  readonly refused: readonly Refusal[];
}

/** Changes in one transaction. */
export const CHANGES_MAX = 10_000;

export interface Store {
  /** The state now. Immutable: keep it as long as you like. */
  snapshot(): State;
  readonly revision: number;
  /**
   * All of `changes` or none. They are validated together, as if they happened at once, and get one
   * clock number. Durable when it returns. Pointers of problems start with the index of the change.
   */
  transact(changes: readonly Change[], author: Author, companion?: Companion): Result<Commit>;
  /**
   * Takes what peers pass on, all at once: listeners hear of it as one change. What is malformed,
   * or not what its author wrote, is refused; what contradicts other documents is not, since all
   * chassis must come to the same state. `vector` is of a peer of which `portions` are everything
   * that was missing here; left out, they are some of it. In force when it returns, and on the
   * disk some milliseconds later, unless the store was made without a timer.
   */
  merge(portions: readonly Portion[], vector?: Vector): Merged;
  /** Up to which transaction of each chassis nothing is missing here. */
  readonly vector: Vector;
  /** Whether something is held here that the vector does not show: what came before is missing. */
  readonly hasGap: boolean;
  /** Of one chassis in it; 0 when there is none. */
  clockOf(origin: string): number;
  /** Equal at two chassis that hold the same: 16 hex digits. */
  readonly root: string;
  /** What a chassis with `vector` lacks, a page of about `size` bytes at a time. */
  behind(vector: Vector, after: Cursor | null, size: number): Page;
  /** Sums over parts of what is held, to find what differs where vectors say that nothing does. */
  sums(): Uint8Array;
  /** What is held in those of the parts, in the same manner as `behind`. */
  inBuckets(buckets: ReadonlySet<number>, after: Cursor | null, size: number): Page;
  /**
   * Forgets what was deleted more than a day ago when `isKnownByAll`: every other chassis has held
   * the same as this one within that day; else what was deleted more than 30 days ago. Returns how
   * many names.
   */
  expire(isKnownByAll: boolean): number;
  /** Everything that can be read here, with tombstones, by kind and name. */
  entries(): readonly Entry[];
  /**
   * What is not in force as it was written, as `kind/name`: a change could not be read here, or did
   * not fit to another.
   */
  readonly partials: ReadonlySet<string>;
  /** Calls `listener` after each commit that changed something; returns how to end that. */
  onChange(listener: Listener): () => void;
  /** Puts what peers wrote on the disk now; true when it holds everything that is in force. */
  flush(): boolean;
  /** Why the disk did not take the latest writes of peers; null when all is stored. */
  readonly storageError: string | null;
  /** What was last found wrong with what the disk held, and became of it; null: nothing was. */
  readonly repair: string | null;
  close(): void;
}
