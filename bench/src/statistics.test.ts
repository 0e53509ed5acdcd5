import assert from "node:assert/strict";
import { test } from "node:test";
import { format, percentile, summarize } from "./statistics.ts";

test("a summary has the middle and both ends", () => {
  assert.deepEqual(summarize([3, 1, 2]), { median: 2, min: 1, max: 3 });
  assert.deepEqual(summarize([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4 });
  assert.throws(() => summarize([]), /at least one figure/);
});

test("a percentile is one of the figures", () => {
  const figures = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.equal(percentile(figures, 0.99), 100);
  assert.equal(percentile(figures, 0), 1);
});

test("figures have three digits that mean something", () => {
  assert.deepEqual([123456, 12.345, 0.012345, 0, Number.NaN].map(format), [
    ...["123456", "12.3", "0.0123", "0", "–"],
  ]);
});
