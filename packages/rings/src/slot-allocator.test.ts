import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LARGE_SLOT_UNITS } from "./pool.ts";
import { RingConsumer, RingProducer, ringWords } from "./ring.ts";
import { SlotAllocator } from "./slot-allocator.ts";

const SIZE = { smallCount: 16, largeCount: 4 };

/** Two workers' allocators, joined by return rings. */
function makePair(): readonly [SlotAllocator, SlotAllocator] {
  const toFirst = new Int32Array(new SharedArrayBuffer(ringWords(16) * 4));
  const toSecond = new Int32Array(new SharedArrayBuffer(ringWords(16) * 4));
  return [
    new SlotAllocator(SIZE, 0, 2, [null, new RingProducer(toSecond)], [new RingConsumer(toFirst)]),
    new SlotAllocator(SIZE, 1, 2, [new RingProducer(toFirst), null], [new RingConsumer(toSecond)]),
  ];
}

test("hands every slot out once and then says that none is left", () => {
  const [first] = makePair();
  const small = Array.from({ length: 8 }, () => first.takeSmall());
  assert.deepEqual(
    small.toSorted((a, b) => a - b),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
  assert.equal(first.takeSmall(), -1);
  const large = [first.takeLarge(), first.takeLarge()];
  assert.deepEqual(
    large.toSorted((a, b) => a - b),
    [16, 16 + LARGE_SLOT_UNITS],
  );
  assert.equal(first.takeLarge(), -1);
  assert.ok(first.isLarge(large[0]!) && !first.isLarge(small[0]!));
});

test("a slot freed by another worker goes home", () => {
  const [first, second] = makePair();
  const slots = [first.takeSmall(), first.takeLarge()];
  for (const slot of slots) second.give(slot);
  second.flush();
  assert.equal(first.smallFree, 7);
  first.collect();
  assert.equal(first.smallFree, 8);
  assert.equal(first.largeFree, 2);
});

test("no order of taking and giving loses a slot or hands one out twice", () => {
  const step = fc.record({ worker: fc.nat(1), give: fc.boolean(), isLarge: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const pair = makePair();
      const held: number[] = [];
      for (const { worker, give, isLarge } of steps) {
        const allocator = pair[worker]!;
        if (give) {
          const slot = held.pop();
          if (slot !== undefined) allocator.give(slot);
        } else {
          const slot = isLarge ? allocator.takeLarge() : allocator.takeSmall();
          if (slot < 0) continue;
          assert.ok(!held.includes(slot));
          held.push(slot);
        }
        allocator.flush();
      }
      for (const slot of held) pair[0].give(slot);
      for (const allocator of pair) allocator.flush();
      for (const allocator of pair) allocator.collect();
      assert.equal(pair[0].smallFree + pair[1].smallFree, SIZE.smallCount);
      assert.equal(pair[0].largeFree + pair[1].largeFree, SIZE.largeCount);
    }),
  );
});
