/**
 * The clock of writes: a hybrid logical clock (Kulkarni et al. 2014, "Logical Physical Clocks") in
 * one integer. A transaction gets a number greater than every number that its chassis has seen, so
 * what knew of another change wins over it whatever the wall clocks say; and no less than the wall
 * clock, so of two that did not know of each other the later one wins, if the clocks are right.
 *
 * It ticks once a millisecond from 2026 on, so it stays with the wall clock where there are fewer
 * than a thousand transactions a second, for however long. The low 32 bits are what a generation is
 * numbered by.
 */

/** Calls `callback` once after `delayMs`, unless the function that it returns is called first. */
export type SetTimer = (callback: () => void, delayMs: number) => () => void;

export const TICK_MS = 1;
const EPOCH_MS = Date.UTC(2026, 0, 1);

/**
 * How far ahead of our wall clock a peer's writes may be: by the wrong time zone, and by bursts of
 * more transactions than there are ticks (docs/decisions/0026).
 */
export const AHEAD_TICKS_MAX = (26 * 3_600_000) / TICK_MS;
/** How long deletions are remembered at least. */
export const TOMBSTONE_TICKS = (24 * 3_600_000) / TICK_MS;
/** … and while there is a chassis that may not know of them. */
export const TOMBSTONE_TICKS_MAX = (30 * 24 * 3_600_000) / TICK_MS;
/** Deletions are forgotten in steps of this, so that all chassis do at nearly the same time. */
export const EXPIRY_STEP_TICKS = 3_600_000 / TICK_MS;

/** Ticks at `wallMs`, milliseconds since 1970; 0 before 2026. */
export function ticksAt(wallMs: number): number {
  return Math.max(0, Math.floor((wallMs - EPOCH_MS) / TICK_MS));
}

/** The time of a clock number, milliseconds since 1970, of a chassis that was not ahead. */
export function wallMsOf(clock: number): number {
  return EPOCH_MS + clock * TICK_MS;
}

/**
 * A wall clock that never steps: what `wallClock` says now, and from then on what `now` counts.
 * Both in milliseconds.
 */
export function steadyClock(wallClock: () => number, now: () => number): () => number {
  const offsetMs = wallClock() - now();
  return () => now() + offsetMs;
}
