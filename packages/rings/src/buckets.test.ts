import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assign, BUCKET_COUNT, bucketOf, firstOwners, NOBODY } from "./buckets.ts";

const workers = fc.uniqueArray(fc.nat(15), { minLength: 1, maxLength: 16 });

function loadsOf(map: Uint8Array): Map<number, number> {
  const loads = new Map<number, number>();
  for (const owner of map) loads.set(owner, (loads.get(owner) ?? 0) + 1);
  return loads;
}

test("the bucket is the top byte of the hash, also of a negative one", () => {
  assert.deepEqual([bucketOf(0), bucketOf(0x01ffffff), bucketOf(-1)], [0, 1, 255]);
});

test("everybody owns as much as the others or one more, and nobody else anything", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), workers, (previous, workers) => {
      const next = assign(previous, workers);
      const loads = loadsOf(next);
      const counts = workers.map((worker) => loads.get(worker) ?? 0);
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        previous.length,
      );
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
    }),
  );
});

test("no more changes owner than has to", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), workers, (previous, workers) => {
      const next = assign(previous, workers);
      const moved = next.filter((owner, i) => owner !== previous[i]).length;
      // A map in which everybody is level moves at least what is above the level.
      const loads = [...loadsOf(previous)];
      const share = Math.floor(previous.length / workers.length);
      let over = previous.length % workers.length;
      let least = 0;
      for (const [owner, load] of loads) {
        if (!workers.includes(owner)) least += load;
        else if (load > share) {
          least += load - share - (over > 0 ? 1 : 0);
          over = Math.max(0, over - 1);
        }
      }
      assert.equal(moved, least);
    }),
  );
});

test("a second time changes nothing", () => {
  const owners = firstOwners([0, 1, 2]);
  assert.equal(owners.length, BUCKET_COUNT);
  assert.deepEqual(assign(owners, [2, 0, 1]), owners);
  assert.ok(!owners.includes(NOBODY));
});

test("refuses to leave everything without an owner", () => {
  assert.throws(() => assign(new Uint8Array(4), []), /at least one worker/);
});
