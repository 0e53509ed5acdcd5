/**
 * The store of one chassis: the desired state, durable, changed by transactions of its own and by
 * entries of its peers. Run by the control thread; every call is synchronous.
 */
import type { Result } from "./problem.ts";
import type { Entry } from "./record.ts";
import type { Document, Kind } from "./schema.ts";
import type { State } from "./state.ts";

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

export type Listener = (entries: readonly Entry[], source: "local" | "peer") => void;

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
   * Takes what peers say. An entry that is malformed is left out; what contradicts other entries is
   * not, since all chassis must come to the same state. Returns how many entries were news.
   */
  merge(entries: readonly Entry[]): number;
  /** Everything, with tombstones, by kind and name. */
  entries(): readonly Entry[];
  /** Calls `listener` after each commit that changed something; returns how to end that. */
  onChange(listener: Listener): () => void;
  /** Why the disk did not take the latest entries of peers; null when all is stored. */
  readonly storageError: string | null;
  close(): void;
}
