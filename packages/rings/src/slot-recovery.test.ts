import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { poolViews } from "./pool.ts";
import { RingConsumer, RingProducer, ringWords } from "./ring.ts";
import { SlotAllocator } from "./slot-allocator.ts";
import { slotsOfHome } from "./slot-homes.ts";
import { giveHome, recover, type SlotRings, slotsIn } from "./slot-recovery.ts";

const WORKERS = 3;
const DEAD = 1;
const pool = poolViews();

/** Where the dead one's last pop ended. */
const ENDS = ["when it has read", "before the release", "after the release"] as const;
type End = (typeof ENDS)[number];
const ENDED = new Error("the worker was killed");

class EndingConsumer extends RingConsumer {
  readonly #end: End;

  constructor(ring: Int32Array, end: End) {
    super(ring);
    this.#end = end;
  }

  override read(slots: Int32Array, limit: number): number {
    const count = super.read(slots, limit);
    if (this.#end === "when it has read") throw ENDED;
    return count;
  }

  override release(count: number): void {
    if (this.#end === "after the release") super.release(count);
    throw ENDED;
  }
}

interface Worker {
  readonly allocator: SlotAllocator;
  readonly hand: number[];
}

const memory = (): SharedArrayBuffer[][] =>
  Array.from({ length: WORKERS }, () =>
    Array.from({ length: WORKERS }, () => new SharedArrayBuffer(ringWords(16_384) * 4)),
  );
const words = (ring: SharedArrayBuffer): Int32Array => new Int32Array(ring);

test("what a dead worker had is found, and nothing that anybody else has", () => {
  const step = fc.tuple(fc.nat(WORKERS - 1), fc.nat(WORKERS - 1), fc.nat(5));
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 200, size: "max" }),
      fc.nat(ENDS.length - 1),
      (steps, end) => {
        giveHome(pool, WORKERS);
        const [rings, returns] = [memory(), memory()];
        const workers = makeWorkers(returns);
        const one = new Int32Array(1);
        for (const [worker, other, what] of steps) {
          const { allocator, hand } = workers[worker]!;
          if (what === 0) {
            const slot = other === 0 ? allocator.takeSmall() : allocator.takeLarge();
            if (slot >= 0) hand.push(slot);
          } else if (what === 1 && hand.length > 0) allocator.give(hand.pop()!);
          else if (what === 2 && hand.length > 0 && other !== worker) {
            one[0] = hand.shift()!;
            new RingProducer(words(rings[worker]![other]!)).push(one, 0, 1);
          } else if (what === 3 && other !== worker) {
            const ring = new RingConsumer(words(rings[other]![worker]!));
            if (allocator.adoptFrom(ring, one, 1) === 1) hand.push(one[0]!);
          }
          if (what === 4) allocator.flush();
          // What comes home to the dead one lies there when it ends.
          if (what === 5 && worker !== DEAD) allocator.collect();
        }
        endWhilePopping(workers[DEAD]!, { rings, returns }, ENDS[end]!);
        checkRecovery(workers, { rings, returns });
      },
    ),
    { numRuns: 60 },
  );
});

function makeWorkers(returns: readonly (readonly SharedArrayBuffer[])[]): Worker[] {
  return returns.map((_, worker) => {
    const others = [0, 1, 2].filter((other) => other !== worker);
    const allocator = new SlotAllocator(
      pool,
      worker,
      WORKERS,
      returns[worker]!.map((ring, to) => (to === worker ? null : new RingProducer(words(ring)))),
      others.map((from) => new RingConsumer(words(returns[from]![worker]!))),
    );
    return { allocator, hand: [] };
  });
}

/** The dead one is ended while it takes in what lies in the rings to it. */
function endWhilePopping({ allocator }: Worker, links: SlotRings, end: End): void {
  const slots = new Int32Array(64);
  for (const from of [...links.rings, ...links.returns].map((ringsOf) => ringsOf[DEAD]!)) {
    const ring = new EndingConsumer(words(from), end);
    try {
      allocator.adoptFrom(ring, slots, slots.length);
    } catch (error) {
      assert.equal(error, ENDED);
    }
  }
}

/** The slots in the dead one's hand and in rings to it make up all that is missing. */
function checkRecovery(workers: readonly Worker[], links: SlotRings): void {
  const found = [...recover(pool, DEAD, links)];
  const others = workers.filter((_, worker) => worker !== DEAD);
  const known = new Set(others.flatMap(({ hand }) => hand));
  for (const { allocator } of others) {
    allocator.flush();
    for (let slot = allocator.takeSmall(); slot >= 0; slot = allocator.takeSmall()) known.add(slot);
    for (let slot = allocator.takeLarge(); slot >= 0; slot = allocator.takeLarge()) known.add(slot);
  }
  for (const slot of slotsIn([...links.rings.flat(), ...links.returns.flat()])) {
    assert.ok(!known.has(slot), `slot ${slot} is in a ring and with somebody`);
    known.add(slot);
  }
  for (const slot of found) assert.ok(!known.has(slot), `slot ${slot} is somebody else's`);
  const all = [0, 1, 2].flatMap((home) => [...slotsOfHome(pool, home, WORKERS)]);
  assert.equal(found.length + known.size, all.length);
}
