/**
 * One worker's free slots. Every slot has a home worker; only that one hands it out. A slot that is
 * freed elsewhere goes home through a ring of its own, so that no free list needs a lock.
 *
 * The pool is divided evenly among all workers that there may ever be: worker `w` of `n` is home
 * to the small slots `[w·S/n, (w+1)·S/n)` and to the large ones likewise. A return ring holds every
 * slot of its consumer, so it is never full.
 */
import { LARGE_SLOT_UNITS, type PoolSize, poolViews } from "./pool.ts";
import type { RingConsumer, RingProducer } from "./ring.ts";
import { slotsOfHome } from "./slot-homes.ts";

const RETURN_BATCH = 256; // slots

const { bytes, holdersAt } = poolViews();

export class SlotAllocator {
  readonly #worker: number;
  readonly #smallPerWorker: number;
  readonly #smallCount: number;
  readonly #largePerWorker: number;
  readonly #small: Int32Array;
  readonly #large: Int32Array;
  #smallFree = 0;
  #largeFree = 0;
  readonly #returns: readonly (RingProducer | null)[];
  readonly #arrivals: readonly RingConsumer[];
  readonly #outbox: readonly Int32Array[];
  readonly #outboxCount: Int32Array;
  readonly #scratch = new Int32Array(RETURN_BATCH);

  /**
   * `returns[w]` leads to worker `w` (null for ourselves); `arrivals` come from the others. `free`
   * are the slots at home that are free now; left out: all.
   */
  constructor(
    size: PoolSize,
    worker: number,
    workerCount: number,
    returns: readonly (RingProducer | null)[],
    arrivals: readonly RingConsumer[],
    free: ArrayLike<number> = slotsOfHome(size, worker, workerCount),
  ) {
    this.#worker = worker;
    this.#smallCount = size.smallCount;
    this.#smallPerWorker = Math.floor(size.smallCount / workerCount);
    this.#largePerWorker = Math.floor(size.largeCount / workerCount);
    this.#small = new Int32Array(this.#smallPerWorker);
    this.#large = new Int32Array(this.#largePerWorker);
    this.#returns = returns;
    this.#arrivals = arrivals;
    this.#outbox = returns.map(() => new Int32Array(RETURN_BATCH));
    this.#outboxCount = new Int32Array(returns.length);
    // Backwards, so that the first are taken first.
    for (let i = free.length - 1; i >= 0; i--) this.#keep(free[i]!);
  }

  /** Small slots that can be taken now. */
  get smallFree(): number {
    return this.#smallFree;
  }

  /** Large slots that can be taken now. */
  get largeFree(): number {
    return this.#largeFree;
  }

  /** Slots of others on their way home, not sent off yet. */
  get waiting(): number {
    return this.#outboxCount.reduce((sum, count) => sum + count, 0);
  }

  /** A small slot, or -1 when none is free. */
  takeSmall(): number {
    if (this.#smallFree === 0) this.collect();
    return this.#smallFree === 0 ? -1 : this.#small[--this.#smallFree]!;
  }

  /** A large slot, or -1 when none is free. */
  takeLarge(): number {
    if (this.#largeFree === 0) this.collect();
    return this.#largeFree === 0 ? -1 : this.#large[--this.#largeFree]!;
  }

  isLarge(slot: number): boolean {
    return slot >= this.#smallCount;
  }

  /** Notes that this worker has the slot now: it came through a ring, or with a port. */
  adopt(slot: number): void {
    bytes[holdersAt + slot] = this.#worker;
  }

  /**
   * Pops up to `limit` slots of a ring into `slots[0..)` and notes that this worker has them now;
   * returns how many. They leave the ring afterwards: who is killed in between loses none.
   */
  adoptFrom(ring: RingConsumer, slots: Int32Array, limit: number): number {
    const count = ring.read(slots, limit);
    for (let i = 0; i < count; i++) this.adopt(slots[i]!);
    ring.release(count);
    return count;
  }

  /** Takes a slot back, whoever is home to it. */
  give(slot: number): void {
    const home = this.#homeOf(slot);
    if (home === this.#worker) {
      this.#keep(slot);
      return;
    }
    const outbox = this.#outbox[home]!;
    outbox[this.#outboxCount[home]!] = slot;
    this.#outboxCount[home]!++;
    if (this.#outboxCount[home] === RETURN_BATCH) this.#flushTo(home);
  }

  /** Sends home what was given here; once a loop. */
  flush(): void {
    for (let home = 0; home < this.#outboxCount.length; home++) {
      if (this.#outboxCount[home] !== 0) this.#flushTo(home);
    }
  }

  /** Takes in what came home; once a loop. */
  collect(): void {
    const scratch = this.#scratch;
    for (let i = 0; i < this.#arrivals.length; i++) {
      for (;;) {
        const count = this.adoptFrom(this.#arrivals[i]!, scratch, RETURN_BATCH);
        for (let k = 0; k < count; k++) this.#keep(scratch[k]!);
        if (count < RETURN_BATCH) break;
      }
    }
  }

  #keep(slot: number): void {
    if (slot < this.#smallCount) this.#small[this.#smallFree++] = slot;
    else this.#large[this.#largeFree++] = slot;
  }

  #homeOf(slot: number): number {
    if (slot < this.#smallCount) return Math.floor(slot / this.#smallPerWorker);
    return Math.floor((slot - this.#smallCount) / LARGE_SLOT_UNITS / this.#largePerWorker);
  }

  #flushTo(home: number): void {
    const count = this.#outboxCount[home]!;
    const pushed = this.#returns[home]!.push(this.#outbox[home]!, 0, count);
    // The ring holds every slot of its consumer: less than all can only be a bug.
    if (pushed !== count)
      throw new Error(`expected room for ${count} slots in a return ring, got ${pushed}`);
    this.#outboxCount[home] = 0;
  }
}

/** The worker that has a slot, or had it when it went into a ring. */
export function holderOf(slot: number): number {
  return bytes[holdersAt + slot]!;
}
