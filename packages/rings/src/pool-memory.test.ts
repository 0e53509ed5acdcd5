import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { poolViews } from "./pool.ts";
import { copy, sum } from "./pool-memory.ts";

const { bytes } = poolViews();
const at = fc.integer({ min: 4096, max: 4200 });
const size = fc.oneof(fc.nat(200), fc.nat(65_535));

/** RFC 1071 by the letter: add 16-bit words with end-around carry. */
function sumPlainly(from: number, end: number): number {
  let total = 0;
  for (let i = from; i < end; i += 2) {
    total += bytes[i]! * 256 + (i + 1 < end ? bytes[i + 1]! : 0);
    if (total > 0xffff) total -= 0xffff;
  }
  return total;
}

test("sums as the plain version does, at every offset and length", () => {
  fc.assert(
    fc.property(at, size, fc.nat(255), (at, size, seed) => {
      for (let i = 0; i < size; i++) bytes[at + i] = seed === 255 ? 255 : i * 167 + seed;
      assert.equal(sum(at, at + size) % 0xffff, sumPlainly(at, at + size) % 0xffff);
    }),
    { numRuns: 300 },
  );
});

test("sums no byte beyond its end", () => {
  bytes.fill(0, 4096, 8192);
  bytes.fill(255, 5000, 8192);
  for (let at = 4900; at <= 5000; at++) assert.equal(sum(at, 5000), 0);
});

test("copies as copyWithin does, also where the places overlap", () => {
  fc.assert(
    fc.property(at, at, size, (to, from, size) => {
      for (let i = 4000; i < 70_000; i++) bytes[i] = i * 31;
      const before = bytes.slice(4000, 70_000);
      copy(to, from, size);
      assert.deepEqual(
        bytes.slice(4000, 70_000),
        before.copyWithin(to - 4000, from - 4000, from - 4000 + size),
      );
    }),
    { numRuns: 100 },
  );
});
