import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assignKeys, type Claim } from "./keys.ts";

const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 6 }), { maxLength: 30 });

function claims(list: readonly string[]): Claim[] {
  return list.map((name, i) => ({ name, created: { clock: i + 1, origin: "a" } }));
}

test("every name has a number of its own in the range, in whatever order the claims come", () => {
  fc.assert(
    fc.property(names, (list) => {
      const keys = assignKeys(claims(list), 5, 30);
      const numbers = [...keys.values()];
      assert.equal(new Set(numbers).size, list.length);
      for (const number of numbers) assert.ok(number >= 5 && number < 35);
      assert.deepEqual(new Map(assignKeys(claims(list).reverse(), 5, 30)), new Map(keys));
    }),
  );
});

test("a later name never moves an earlier one", () => {
  fc.assert(
    fc.property(names, (list) => {
      const all = assignKeys(claims(list), 1, 31);
      const before = assignKeys(claims(list.slice(0, -1)), 1, 31);
      for (const [name, number] of before) assert.equal(all.get(name), number);
    }),
  );
});

test("refuses more names than numbers", () => {
  assert.throws(() => assignKeys(claims(["a", "b", "c"]), 1, 2), /at most 2 names, got 3/);
});
