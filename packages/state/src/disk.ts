/** What a replica needs of a disk. Run by the control thread. */
import type { Vector } from "./ledger.ts";
import type { Portion, Write } from "./write.ts";

/** All that is held about one name; no writes: forget it. */
export interface DiskRecord {
  readonly kind: string;
  readonly name: string;
  readonly writes: readonly Write[];
}

/** Where writes survive a restart. */
export interface Disk {
  /**
   * Keeps all of it or nothing; throws when it cannot. At most one record a name; of the vector
   * there is what is new.
   */
  write(records: readonly DiskRecord[], advances: Vector): void;
  /** Hears of what is in force by now and is given to it a little later. */
  expect?(records: readonly DiskRecord[]): void;
  /**
   * Begins anew, with all of `contents`, where `error` of a `write` says that what is held is
   * damaged. Returns what became of that, for an operator; null when it is not damaged. Throws when
   * it cannot; `write` may be tried again all the same. Left out: nothing is known of damage.
   */
  renew?(error: unknown, contents: () => Contents): string | null;
  close(): void;
}

/** All that a replica holds. */
export interface Contents {
  readonly records: readonly DiskRecord[];
  readonly vector: Vector;
}

/** What a disk holds. */
export interface Stored {
  readonly portions: readonly Portion[];
  readonly vector: Vector;
  /** What was wrong with it, and what became of it; null when nothing was. */
  readonly repair: string | null;
}
