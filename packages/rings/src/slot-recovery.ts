/**
 * Finds the slots that a worker had when it ended, however it ended: those that say so in the
 * pool's holder bytes and lie in no ring. Run by the control thread.
 *
 * A worker notes itself as the holder of a slot before it takes it out of a ring (`adoptFrom`). So
 * whenever it ends, the slot is in the ring or its own, and who looks into the rings first and
 * reads the holders then finds each once, whatever the others pop meanwhile.
 */
import { type Pool, SLOT_SIZE, slotUnits } from "./pool.ts";
import { RingConsumer, RingProducer } from "./ring.ts";
import { slotsOfHome } from "./slot-homes.ts";

const DRAINED = 256; // slots at a time

/** All rings between workers, `[from][to]`: of packets, and of free slots that go home. */
export interface SlotRings {
  readonly rings: readonly (readonly SharedArrayBuffer[])[];
  readonly returns: readonly (readonly SharedArrayBuffer[])[];
}

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

/**
 * The slots that a worker has that has ended, by their home; without what lies in rings from it or
 * to it, which is on its way.
 */
export function leftBy(pool: Pool, worker: number, { rings, returns }: SlotRings): Int32Array[] {
  const holders = holdersOf(pool);
  const from = [...rings[worker]!, ...returns[worker]!];
  const to = [...rings, ...returns].map((ringsOf) => ringsOf[worker]!);
  const onTheirWay = slotsIn([...from, ...to]);
  return rings.map((_, home) =>
    slotsOfHome(pool, home, rings.length).filter(
      (slot) => holders[slot] === worker && !onTheirWay.has(slot),
    ),
  );
}

/**
 * Takes back all that a worker had when it ended, and what others have sent it: its own slots are
 * returned, the others go home. What the kernel had of a port that it passed on is noted for who
 * was to have it by then (`hold`).
 */
export function recover(pool: Pool, worker: number, links: SlotRings): Int32Array {
  const incoming = links.rings.map((ringsOf) => ringsOf[worker]!);
  drainInto(pool, worker, incoming);
  const left = leftBy(pool, worker, links);
  for (const [home, slots] of left.entries()) {
    if (home === worker || slots.length === 0) continue;
    // Its end of the ring is nobody's now.
    const ring = new RingProducer(new Int32Array(links.returns[worker]![home]!));
    ring.push(slots, 0, slots.length);
  }
  return left[worker]!;
}

/** Notes that a worker has these slots now: they come to it with a port. */
export function hold(pool: Pool, slots: readonly number[], worker: number): void {
  const holders = holdersOf(pool);
  for (const slot of slots) holders[slot] = worker;
}

/** Empties rings that lead to a worker that is gone; it then holds what was in them. */
function drainInto(pool: Pool, worker: number, rings: readonly SharedArrayBuffer[]): void {
  const holders = holdersOf(pool);
  const slots = new Int32Array(DRAINED);
  for (const ring of rings) {
    const consumer = new RingConsumer(new Int32Array(ring));
    for (let count = consumer.pop(slots, DRAINED); count > 0; ) {
      for (let i = 0; i < count; i++) holders[slots[i]!] = worker;
      count = consumer.pop(slots, DRAINED);
    }
  }
}

function holdersOf(pool: Pool): Uint8Array {
  const units = slotUnits(pool);
  return new Uint8Array(pool.buffer, units * SLOT_SIZE, units);
}
