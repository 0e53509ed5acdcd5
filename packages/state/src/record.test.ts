import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareVersions } from "./record.ts";

// Few clocks and origins, so that versions meet often.
const plain = { noNullPrototype: true };
const version = fc.record(
  { clock: fc.integer({ min: 1, max: 4 }), origin: fc.constantFrom("a", "b") },
  plain,
);
test("versions are totally ordered", () => {
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      assert.equal(Math.sign(compareVersions(a, b)), -Math.sign(compareVersions(b, a)) + 0);
      if (compareVersions(a, b) === 0) assert.deepEqual(a, b);
      if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) {
        assert.ok(compareVersions(a, c) <= 0);
      }
    }),
  );
});
