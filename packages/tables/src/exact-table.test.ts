import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  buildExactTable,
  changeExactTable,
  type ExactEntry,
  type ExactImage,
  ExactTable,
  NOT_FOUND,
} from "./exact-table.ts";

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const few = fc.integer({ min: -2, max: 2 }); // Few values: keys that differ in one word only.
const key = fc.array(fc.oneof(few, word), { minLength: 3, maxLength: 3 });

/** One entry of a key and a value only, as tables have them. */
const entries = fc.uniqueArray(fc.record({ key, value: fc.nat(7) }), {
  selector: ({ key, value }) => `${key.join()} ${value}`,
  maxLength: 60,
});

function entriesFrom(first: number, end: number): ExactEntry[] {
  return Array.from({ length: end - first }, (_, i) => ({ key: [first + i, 0], value: first + i }));
}

function pagesApart(a: ExactImage, b: ExactImage): number {
  return b.pages.filter((page, i) => page !== a.pages[i]).length;
}

test("an exact table agrees with a Map for any keys; of two values the smaller counts", () => {
  fc.assert(
    fc.property(entries, fc.array(key), (all, strangers) => {
      const golden = new Map<string, number>();
      for (const { key, value } of all) {
        golden.set(key.join(), Math.min(golden.get(key.join()) ?? Infinity, value));
      }
      const table = new ExactTable(buildExactTable(3, all));
      for (const k of [...all.map(({ key }) => key), ...strangers]) {
        assert.equal(table.find(Int32Array.from(k)), golden.get(k.join()) ?? NOT_FOUND);
      }
    }),
  );
});

test("the words follow from the set of entries, not from how it came to be", () => {
  fc.assert(
    fc.property(entries, fc.array(fc.nat(2), { minLength: 60, maxLength: 60 }), (all, parts) => {
      const part = (...numbers: number[]) => all.filter((_, i) => numbers.includes(parts[i]!));
      const before = buildExactTable(3, part(0, 1));
      const untouched = structuredClone(before);
      const changed = changeExactTable(before, part(0), part(2));
      const expected = buildExactTable(3, part(1, 2).reverse());
      // Another number of buckets: it is built anew.
      if (changed === null) assert.notDeepEqual(sizes(before), sizes(expected));
      else assert.deepEqual(changed, expected);
      assert.deepEqual(before, untouched);
    }),
    { numRuns: 1000 },
  );
});

test("values change where they stand, as long as they keep their order", () => {
  fc.assert(
    fc.property(entries, fc.nat(7), fc.nat(7), (all, gone, come) => {
      const removed = all.filter(({ value }) => value === gone);
      const rest = all.filter(({ value }) => value !== gone);
      const renumbered = Int32Array.from({ length: 8 }, (_, value) => {
        const before = value < gone ? value : value - 1;
        return before < come ? before : before + 1;
      });
      const added = [{ key: [1, 2, 3], value: come }];
      const before = buildExactTable(3, all);
      const changed = changeExactTable(before, removed, added, renumbered);
      const kept = rest.map(({ key, value }) => ({ key, value: renumbered[value]! }));
      const expected = buildExactTable(3, [...kept, ...added]);
      if (changed === null) assert.notDeepEqual(sizes(before), sizes(expected));
      else assert.deepEqual(changed, expected);
    }),
  );
});

function sizes(image: ExactImage): number[] {
  return image.pages.map(({ length }) => length);
}

test("a change copies only the pages that it writes to", () => {
  const before = buildExactTable(2, entriesFrom(0, 10_000));
  assert.equal(before.pages.length, 32);
  const after = changeExactTable(before, [], entriesFrom(10_000, 10_001))!;
  assert.equal(pagesApart(before, after), 1);
  assert.equal(new ExactTable(after).find(Int32Array.of(10_000, 0)), 10_000);
  assert.equal(new ExactTable(before).find(Int32Array.of(10_000, 0)), NOT_FOUND);
  const back = changeExactTable(after, entriesFrom(10_000, 10_001), [])!;
  assert.deepEqual(back, before);
  assert.equal(changeExactTable(before, [], []), before);
});

test("entries of many pages are all found, also those that run over the end", () => {
  const count = 16_384; // The buckets are half full: many wait behind others.
  const table = new ExactTable(buildExactTable(2, entriesFrom(0, count)));
  for (let i = 0; i < count; i++) assert.equal(table.find(Int32Array.of(i, 0)), i);
  assert.equal(table.find(Int32Array.of(count, 0)), NOT_FOUND);
});

test("an exact table refuses a key of another width, and to remove what it does not have", () => {
  assert.throws(() => buildExactTable(2, [{ key: [1], value: 0 }]), /a key of 2 words/);
  const image = buildExactTable(1, [{ key: [1], value: 0 }]);
  const other = [{ key: [1], value: 1 }];
  assert.throws(() => changeExactTable(image, other, other), /an entry 1 → 1/);
});
