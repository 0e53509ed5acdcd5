/**
 * Finds the slots that a worker had when it ended, however it ended: those that say so in the
 * pool's holder bytes and lie in no ring that leads away from it. Run by the control thread.
 *
 * A worker notes itself as the holder when it has popped a slot. So look into the rings first, then
 * hear from every other worker that it has finished its batch, then read the holders: what was
 * popped before the look has its new holder by then.
 */
import { type Pool, SLOT_SIZE, slotUnits } from "./pool.ts";
import { RingConsumer } from "./ring.ts";
import { slotsOfHome } from "./slot-homes.ts";

const DRAINED = 256; // slots at a time

/** Notes for every slot that its home has it; before the first worker starts. */
export function giveHome(pool: Pool, workersMax: number): void {
  const holders = holdersOf(pool);
  for (let worker = 0; worker < workersMax; worker++) {
    for (const slot of slotsOfHome(pool, worker, workersMax)) holders[slot] = worker;
  }
}

/** The slots that lie in rings now, which others may be popping. */
export function slotsIn(rings: readonly SharedArrayBuffer[]): Set<number> {
  const slots = new Set<number>();
  for (const ring of rings)
    for (const slot of RingConsumer.peek(new Int32Array(ring))) slots.add(slot);
  return slots;
}

/** Empties rings that lead to a worker that is gone; it then holds what was in them. */
export function drainInto(pool: Pool, worker: number, rings: readonly SharedArrayBuffer[]): number {
  const holders = holdersOf(pool);
  const slots = new Int32Array(DRAINED);
  let drained = 0;
  for (const ring of rings) {
    const consumer = new RingConsumer(new Int32Array(ring));
    for (let count = consumer.pop(slots, DRAINED); count > 0; ) {
      for (let i = 0; i < count; i++) holders[slots[i]!] = worker;
      drained += count;
      count = consumer.pop(slots, DRAINED);
    }
  }
  return drained;
}

/** The slots that `worker` holds, without those `elsewhere`, by their home. */
export function heldBy(
  pool: Pool,
  worker: number,
  workersMax: number,
  elsewhere: ReadonlySet<number>,
): Int32Array[] {
  const holders = holdersOf(pool);
  return Array.from({ length: workersMax }, (_, home) =>
    slotsOfHome(pool, home, workersMax).filter(
      (slot) => holders[slot] === worker && !elsewhere.has(slot),
    ),
  );
}

function holdersOf(pool: Pool): Uint8Array {
  const units = slotUnits(pool);
  return new Uint8Array(pool.buffer, units * SLOT_SIZE, units);
}
