/**
 * How often chassis say what they say regularly. With many of them each is silent for longer, so
 * that what a chassis hears, and what its links cost, does not grow with their number. Runs on the
 * control thread.
 */

/** So many peers are heard, and so many links asked, at full pace. */
const FULL_PACE_COUNT = 16;

/** What an interval is multiplied by among `count` peers: 1 or more. */
export function slownessAmong(count: number): number {
  return Math.max(1, count / FULL_PACE_COUNT);
}
