/**
 * The number of a chassis' life: greater with each start, so that what was said about an earlier
 * one, or in it, does not count any more. Run by the control thread before the first message.
 */
import { AHEAD_MAX_MS } from "./messages.ts";

/**
 * The time of the start, `wallMs`, unless the last life, null when none is known, has a greater
 * number: a clock may have been set back. A number that was far ahead is not followed, since others
 * would not believe it; then the chassis hears what they think of it, and goes beyond that.
 */
export function nextIncarnation(last: number | null, wallMs: number): number {
  if (last === null || last - wallMs >= AHEAD_MAX_MS / 2) return wallMs;
  return Math.max(wallMs, last + 1);
}
