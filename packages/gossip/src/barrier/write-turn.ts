/**
 * When a chassis takes a write: a moment later than it comes, while all are about to agree on those
 * before it, and where very much has just been written here. Run by the control thread.
 */

/** So long a write waits at most: chassis that do not agree must not keep users from writing. */
export const WRITE_WAIT_MS = 250;
/** The same where none of our writes is among those that wait: who writes much, waits longest. */
export const QUIET_WRITE_WAIT_MS = 50;
/** Between two looks: what others say comes without a call. */
const LOOK_MS = 2;

/** As a Barrier says it. */
export interface Turn {
  /** Whether a write would better come later. */
  readonly isBusy: boolean;
  /** Whether a write of ours is among what waits. */
  readonly hasOpenWrite: boolean;
}

export interface WriteTurnOptions {
  readonly barrier: Turn;
  /** As a WriteBudget says it. */
  readonly budget: { readonly isSpent: boolean };
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  /** Resolves after so many milliseconds, or earlier when there is reason to look again. */
  readonly pause: (ms: number) => Promise<void>;
}

/** How long a write that comes now waits at most. */
export function writeWaitMs({ hasOpenWrite }: Turn): number {
  return hasOpenWrite ? WRITE_WAIT_MS : QUIET_WRITE_WAIT_MS;
}

/**
 * Resolves when nothing is open and the budget is not spent, at once if that is so; after
 * writeWaitMs in any case, or WRITE_WAIT_MS if the budget was spent.
 */
export async function writeTurn({ barrier, budget, now, pause }: WriteTurnOptions): Promise<void> {
  const waitMs = budget.isSpent ? WRITE_WAIT_MS : writeWaitMs(barrier);
  const endMs = now() + waitMs;
  while ((barrier.isBusy || budget.isSpent) && now() < endMs) await pause(LOOK_MS);
}
