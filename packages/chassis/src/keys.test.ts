import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assignKeys, type Claim, KeyAssignment } from "./keys.ts";

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

test("claims come and go, and all have the numbers that they would have been given at once", () => {
  let [taken, refused] = [0, 0];
  fc.assert(
    fc.property(names, fc.array(fc.nat(1000)), (list, turns) => {
      const all = claims(list);
      let present = all.filter((_, i) => i % 2 === 0);
      let assignment = new KeyAssignment(present, 1, 12 + all.length);
      for (const turn of turns) {
        const claim = all[turn % all.length];
        if (claim === undefined) break;
        const isPresent = present.includes(claim);
        const others = present.filter((other) => other !== claim);
        const before = new Map(assignment.keys);
        const isDone = isPresent ? assignment.remove(claim.name) : assignment.add(claim);
        const next = isPresent ? others : [...others, claim];
        const expected = assignKeys(next, 1, 12 + all.length);
        if (isDone) assert.deepEqual(sorted(assignment.keys), sorted(expected));
        else assert.deepEqual(assignment.keys, before);
        if (isDone) taken++;
        else refused++;
        present = next;
        if (!isDone) assignment = new KeyAssignment(present, 1, 12 + all.length);
      }
    }),
    { numRuns: 500 },
  );
  assert.ok(taken > refused && refused > 0, `${taken} taken, ${refused} refused`);
});

test("a name that is there already is not taken in twice, one that is not there cannot go", () => {
  const assignment = new KeyAssignment(claims(["a"]), 1, 10);
  assert.equal(assignment.add({ name: "a", created: { clock: 9, origin: "b" } }), false);
  assert.equal(assignment.remove("b"), false);
});

function sorted(keys: ReadonlyMap<string, number>): [string, number][] {
  return [...keys].sort(([a], [b]) => (a < b ? -1 : 1));
}
