import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareVersions, type Entry, merge, type Version } from "./record.ts";

// Few clocks and origins, so that versions meet often.
const plain = { noNullPrototype: true };
const version = fc.record(
  { clock: fc.integer({ min: 1, max: 4 }), origin: fc.constantFrom("a", "b") },
  plain,
);
const value = fc.option(
  fc.record(
    {
      kind: fc.constant("switch" as const),
      name: fc.constant("web"),
      description: fc.constantFrom("one", "two"),
    },
    plain,
  ),
);
const entry: fc.Arbitrary<Entry> = fc.record(
  {
    kind: fc.constant("switch" as const),
    name: fc.constant("web"),
    created: version,
    version,
    value,
  },
  plain,
);

function check(law: (a: Entry, b: Entry, c: Entry) => void): void {
  fc.assert(fc.property(entry, entry, entry, law), { numRuns: 2000 });
}

test("merge is commutative, associative and idempotent", () => {
  check((a, b, c) => {
    assert.deepEqual(merge(a, b), merge(b, a));
    assert.deepEqual(merge(merge(a, b), c), merge(a, merge(b, c)));
    assert.deepEqual(merge(a, a), a);
  });
});

test("merge takes the value of the later version and the earlier creation", () => {
  check((a, b) => {
    const merged = merge(a, b);
    const later = compareVersions(a.version, b.version);
    if (later > 0) assert.deepEqual(merged.value, a.value);
    if (later < 0) assert.deepEqual(merged.value, b.value);
    assert.ok(compareVersions(merged.created, a.created) <= 0);
    assert.ok(compareVersions(merged.created, b.created) <= 0);
  });
});

test("merge returns its first argument when the second adds nothing", () => {
  check((a, b) => {
    const merged = merge(a, b);
    assert.equal(merge(merged, b), merged);
    assert.equal(merge(merged, { ...a }), merged);
  });
});

test("a deleted name that is put again keeps its first creation", () => {
  const at = (clock: number): Version => ({ clock, origin: "a" });
  const web = { kind: "switch", name: "web" } as const;
  const deleted: Entry = { ...web, created: at(1), version: at(2), value: null };
  const again: Entry = { ...web, created: at(3), version: at(3), value: web };
  assert.deepEqual(merge(deleted, again), { ...again, created: at(1) });
});

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
