import assert from "node:assert/strict";
import { test } from "node:test";
import { poolViews } from "@rhone/rings/pool";
import * as checksum from "@rhone/wire/checksum";
import fc from "fast-check";
import * as poolChecksum from "./pool-checksum.ts";

const { bytes, view } = poolViews();

test("sums as the plain version does, at every offset and length", () => {
  const place = fc.record({
    at: fc.integer({ min: 4096, max: 4200 }),
    size: fc.oneof(fc.nat(200), fc.nat(65_535)),
    seed: fc.nat(255),
  });
  fc.assert(
    fc.property(place, ({ at, size, seed }) => {
      for (let i = 0; i < size; i++) bytes[at + i] = seed === 255 ? 255 : i * 167 + seed;
      const plain = checksum.fold(checksum.sum(view, at, at + size, 0));
      assert.equal(checksum.fold(poolChecksum.sum(at, at + size)), plain);
    }),
    { numRuns: 300 },
  );
});

test("reads no byte beyond its end", () => {
  bytes.fill(0, 4096, 8192);
  bytes.fill(255, 5000, 8192);
  for (let at = 4900; at <= 5000; at++) assert.equal(poolChecksum.sum(at, 5000), 0);
});
