/**
 * When a chassis takes a write: a moment later than it comes, while all are about to agree on those
 * before it. Run by the control thread.
 */

/** So long a write waits at most: chassis that do not agree must not keep users from writing. */
export const WRITE_WAIT_MS = 250;
/** Between two looks: what others say comes without a call. */
const LOOK_MS = 2;

export interface WriteTurnOptions {
  /** Whether a write would better come later, as a Barrier says it. */
  readonly isBusy: () => boolean;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  /** Resolves after so many milliseconds, or earlier when there is reason to look again. */
  readonly pause: (ms: number) => Promise<void>;
}

/** Resolves when nothing is open, at once if nothing is; after WRITE_WAIT_MS in any case. */
export async function writeTurn({ isBusy, now, pause }: WriteTurnOptions): Promise<void> {
  const endMs = now() + WRITE_WAIT_MS;
  while (isBusy() && now() < endMs) await pause(LOOK_MS);
}
