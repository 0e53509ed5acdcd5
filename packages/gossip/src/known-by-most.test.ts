import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ageOfKnowledge } from "./known-by-most.ts";

test("is that of the chassis which completes the majority", () => {
  assert.equal(ageOfKnowledge(100, []), 0, "alone it knows all");
  assert.equal(ageOfKnowledge(100, [90]), 10, "of two both are needed");
  assert.equal(ageOfKnowledge(100, [10, 90]), 10, "of three two are");
  assert.equal(ageOfKnowledge(100, [10, 90, 20]), 80);
  assert.equal(ageOfKnowledge(100, [10, 90, 20, 95]), 10);
  assert.equal(ageOfKnowledge(100, [null]), Number.POSITIVE_INFINITY);
  assert.equal(ageOfKnowledge(100, [null, 100]), 0);
});

test("what a majority held is unknown to nobody for longer than the age of his knowledge", () => {
  const count = fc.integer({ min: 1, max: 9 });
  const times = fc.array(fc.nat(1000), { minLength: 9, maxLength: 9 });
  const order = fc.shuffledSubarray([...Array(9).keys()], { minLength: 9 });
  fc.assert(
    fc.property(count, times, order, fc.nat(1000), (n, heldMs, shuffled, writtenMs) => {
      const others = heldMs.slice(1, n);
      const age = ageOfKnowledge(1000, others);
      // Any majority that holds the write from `writtenMs` on; chassis 0 is ourselves.
      const holders = shuffled.filter((i) => i < n).slice(0, Math.floor(n / 2) + 1);
      const isKnown = holders.some((i) => i === 0 || heldMs[i]! >= writtenMs);
      if (1000 - age >= writtenMs) assert.ok(isKnown);
    }),
  );
});
