import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { buildExactTable, ExactTable, NOT_FOUND } from "./exact-table.ts";
import { buildGroups, Groups } from "./groups.ts";
import type { AddressWords } from "./ports.ts";
import { buildRoutes, Routes } from "./routes.ts";

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

test("an exact table agrees with a Map for any keys", () => {
  const few = fc.integer({ min: -2, max: 2 }); // Few values: keys that differ in one word only.
  const key = fc.array(fc.oneof(few, word), { minLength: 3, maxLength: 3 });
  fc.assert(
    fc.property(fc.array(key), fc.array(key), (keys, strangers) => {
      const golden = new Map<string, number>();
      for (const [value, k] of keys.entries()) {
        if (!golden.has(k.join())) golden.set(k.join(), value);
      }
      const entries = keys.map((k, value) => ({ key: k, value }));
      const table = new ExactTable(buildExactTable(3, entries));
      for (const k of [...keys, ...strangers]) {
        assert.equal(table.find(Int32Array.from(k)), golden.get(k.join()) ?? NOT_FOUND);
      }
    }),
  );
});

test("an exact table refuses a key of another width", () => {
  assert.throws(() => buildExactTable(2, [{ key: [1], value: 0 }]), /a key of 2 words/);
});

test("a next hop replaces the address, a connected route leaves it", () => {
  const prefix: AddressWords = [0, 0, 0xffff, 0x0a000000];
  const nextHop: AddressWords = [0, 0, 0xffff, 0x0a000001];
  const built = buildRoutes([[{ prefix, length: 104, outPort: 4, nextHop }], []]);
  const routes = new Routes(built);
  const address = Int32Array.from([0, 0, 0xffff, 0x0a010203]);
  routes.applyNextHop(routes.find(0, address), address);
  assert.deepEqual([...address], nextHop);
});

test("groups keep local and remote members of each switch apart", () => {
  const built = buildGroups([
    { local: [3, 4], remote: [1] },
    { local: [], remote: [] },
    { local: [9], remote: [0, 2] },
  ]);
  const groups = new Groups(built.index, built.members);
  assert.deepEqual([groups.localCount(0), groups.remoteCount(0)], [2, 1]);
  assert.deepEqual([groups.local(0, 1), groups.remote(0, 0)], [4, 1]);
  assert.deepEqual([groups.localCount(1), groups.remoteCount(1)], [0, 0]);
  assert.deepEqual([groups.local(2, 0), groups.remote(2, 1)], [9, 2]);
});
