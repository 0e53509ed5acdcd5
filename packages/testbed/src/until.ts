/** Waiting for what must come, however busy the machine is with something else. */
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 5;
const LIMIT_MS = 20_000;

/**
 * Milliseconds until `isTrue` says so. Throws with `what` when it does not in time, and with what
 * it last threw, if it did.
 */
export async function until(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  limitMs = LIMIT_MS,
): Promise<number> {
  const startMs = performance.now();
  for (;;) {
    let cause: unknown;
    try {
      if (await isTrue()) return performance.now() - startMs;
    } catch (error) {
      cause = error; // Nobody answers there yet.
    }
    if (performance.now() - startMs > limitMs) {
      const why = cause === undefined ? "" : ` (${(cause as Error).message})`;
      throw new Error(`expected within ${limitMs} ms: ${what}${why}`);
    }
    await sleep(POLL_MS);
  }
}
