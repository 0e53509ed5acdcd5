/**
 * Who owns what of a chassis among its workers: buckets of flows, devices, sockets of the tunnel.
 * An owner map has a byte for each, the owner's number. The control thread makes maps; a worker
 * keeps one of its own and changes it between two batches only.
 */

/** Workers that a chassis can have. */
export const WORKERS_MAX = 16;
/** Buckets of flows, by the top bits of their hash. */
export const BUCKET_COUNT = 256;

/** In an owner map: nobody has it. */
export const NOBODY = 255;
/** In a worker's own map: it is to have it, but the one before has not let go of it yet. */
export const HELD = 254;

const BUCKET_SHIFT = 24;

/** The bucket of a flow. */
export function bucketOf(flowHash: number): number {
  return flowHash >>> BUCKET_SHIFT;
}

const NO_SHARES: ReadonlyMap<number, number> = new Map();

/**
 * A map in which each of `workers` owns as many as the others or one more, with the fewest changes
 * to `previous`; those in `shares` own so many. Nothing is left without an owner. Throws RangeError
 * without workers that are not in `shares`.
 */
export function assign(
  previous: Uint8Array,
  workers: readonly number[],
  shares = NO_SHARES,
): Uint8Array {
  const equals = workers.filter((worker) => !shares.has(worker));
  if (equals.length === 0) throw new RangeError("expected at least one worker, got none");
  const loads = new Map(workers.map((worker) => [worker, 0]));
  for (const owner of previous) {
    if (loads.has(owner)) loads.set(owner, loads.get(owner)! + 1);
  }
  const given = [...shares.values()].reduce((sum, share) => sum + share, 0);
  const left = Math.max(0, previous.length - given);
  const share = Math.floor(left / equals.length);
  const over = left % equals.length;
  // Who has most keeps one more: that moves least.
  const byLoad = equals.sort((a, b) => loads.get(b)! - loads.get(a)! || a - b);
  const room = new Map(byLoad.map((worker, i) => [worker, share + (i < over ? 1 : 0)]));
  for (const [worker, own] of shares) room.set(worker, own);
  const next = new Uint8Array(previous.length).fill(NOBODY);
  for (const [i, owner] of previous.entries()) {
    const places = room.get(owner) ?? 0;
    if (places === 0) continue;
    next[i] = owner;
    room.set(owner, places - 1);
  }
  // In turn, so that neighbours spread.
  const takers = [...workers].sort((a, b) => a - b);
  let turn = 0;
  for (let i = 0; i < next.length; i++) {
    if (next[i] !== NOBODY) continue;
    while (room.get(takers[turn % takers.length]!) === 0) turn++;
    const taker = takers[turn++ % takers.length]!;
    next[i] = taker;
    room.set(taker, room.get(taker)! - 1);
  }
  return next;
}

/** The first map of buckets. */
export function firstOwners(workers: readonly number[]): Uint8Array {
  return assign(new Uint8Array(BUCKET_COUNT).fill(NOBODY), workers);
}
