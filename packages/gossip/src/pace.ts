/**
 * How often chassis say what they say regularly. With many of them each is silent for longer, so
 * that what a chassis hears, and what its links cost, does not grow with their number. Runs on the
 * control thread.
 */

/** So many peers are heard, and so many links asked, at full pace. */
const FULL_PACE_COUNT = 16;

/** Chassis that were started together must not go on in step. */
const JITTER = 0.1;
/**
 * … and where each is silent for longer than two intervals, their heartbeats must not come in a
 * burst before silence: any of them is what tells that something is missing.
 */
const LONG_JITTER = 0.75;

/** What an interval is multiplied by among `count` peers: 1 or more. */
export function slownessAmong(count: number): number {
  return Math.max(1, count / FULL_PACE_COUNT);
}

/**
 * From one heartbeat to the next among `count` peers, in milliseconds as `intervalMs` is. `draw` is
 * uniform in [0, 1); 0 gives the shortest time, 1 what no time reaches.
 */
export function heartbeatPauseMs(intervalMs: number, count: number, draw: number): number {
  const slowness = slownessAmong(count);
  const jitter = slowness > 2 ? LONG_JITTER : JITTER;
  return intervalMs * slowness * (1 + jitter * (2 * draw - 1));
}
