/** Which slots of a pool a worker is home to; needs no installed pool. */
import { LARGE_SLOT_UNITS, type PoolSize } from "./pool.ts";

/** All slots that worker `worker` of `workerCount` is home to: the small ones, then the large. */
export function slotsOfHome(size: PoolSize, worker: number, workerCount: number): Int32Array {
  const small = Math.floor(size.smallCount / workerCount);
  const large = Math.floor(size.largeCount / workerCount);
  return Int32Array.from({ length: small + large }, (_, i) =>
    i < small
      ? worker * small + i
      : size.smallCount + (worker * large + i - small) * LARGE_SLOT_UNITS,
  );
}
