import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Version } from "./record.ts";
import { type Settled, settle } from "./settle.ts";
import { deleteText, hashOf, putText, readWrite, setText, type Write } from "./write.ts";

function write(version: Version, text: string): Write {
  const hashes = [hashOf(text)];
  const rest = { previous: 0, part: 0, parts: 1, signer: "", signature: new Uint8Array() };
  const read = readWrite(text, { ...version, ...rest, hashes });
  assert.ok(read !== null, text);
  return read;
}

function at(clock: number, origin = "a"): Version {
  return { clock, origin };
}

const put = (version: Version, description: string) => {
  const document = { kind: "switch", name: "web", description };
  return write(version, putText(version, "switch", "web", document));
};
const rule = (version: Version, action: string) => {
  const fields = { switch: "web", direction: "to-port", priority: 1, match: {} };
  const document = { kind: "acl", name: "web", ...fields, action };
  return write(version, putText(version, "acl", "web", document));
};
const set = (version: Version, of: Version, description: string | null) =>
  write(version, setText(version, "switch", "web", of, { description }));
const remove = (version: Version, seen: Version, kind: "switch" | "acl" = "switch") =>
  write(version, deleteText(version, kind, "web", seen));

function describe({ entry }: Settled): unknown {
  const value = entry?.value;
  if (value?.kind === "acl") return value.action;
  return value?.kind === "switch" ? value.description : value;
}

// Few clocks and origins, so that versions meet often.
const version = fc
  .tuple(fc.integer({ min: 2, max: 7 }), fc.constantFrom("a", "b"))
  .map(([clock, origin]) => at(clock, origin));
const earlier = (than: Version) =>
  fc
    .tuple(fc.integer({ min: 1, max: than.clock - 1 }), fc.constantFrom("a", "b"))
    .map(([clock, origin]) => at(clock, origin));
const text = fc.constantFrom("one", "two");
const registers = fc.dictionary(fc.constantFrom("description", "color", "x/y"), text, {
  minKeys: 1,
});
const switchWrite: fc.Arbitrary<Write> = version.chain((v) =>
  fc.oneof(
    text.map((t) => put(v, t)),
    fc
      .tuple(earlier(v), registers)
      .map(([of, r]) => write(v, setText(v, "switch", "web", of, { ...r }))),
    earlier(v).map((seen) => remove(v, seen)),
  ),
);
const ruleWrite: fc.Arbitrary<Write> = version.chain((v) =>
  fc.oneof(
    fc.constantFrom("allow", "drop").map((action) => rule(v, action)),
    earlier(v).map((seen) => remove(v, seen, "acl")),
  ),
);
const writes = fc.oneof(
  fc.array(switchWrite, { minLength: 1, maxLength: 9 }),
  fc.array(ruleWrite, { minLength: 1, maxLength: 9 }),
);

test("settling parts in any order, and twice, gives what settling all at once gives", () => {
  const cut = fc.array(fc.tuple(fc.nat({ max: 3 }), fc.boolean()), { minLength: 9, maxLength: 9 });
  const property = fc.property(writes, cut, (all, choices) => {
    const whole = settle(all);
    const parts = [0, 1, 2, 3].map((part) =>
      all.filter((_, i) => choices[i]![0] === part || choices[i]![1]),
    );
    let known: readonly Write[] = [];
    for (const part of parts.toReversed()) {
      const settled = part.length === 0 ? [] : settle(part).writes;
      const union = [
        ...known,
        ...settled.filter(({ hash }) => !known.some((w) => w.hash === hash)),
      ];
      if (union.length > 0) known = settle(union).writes;
    }
    assert.deepEqual(
      known.map(({ text }) => text),
      whole.writes.map(({ text }) => text),
    );
    assert.deepEqual(settle(known).entry, whole.entry);
  });
  fc.assert(property, { numRuns: 5000 });
});

test("what is kept does not grow with the number of changes", () => {
  const history = [put(at(1), "0")];
  let kept: readonly Write[] = history;
  for (let i = 2; i < 50; i++) kept = settle([...kept, set(at(i), at(1), `${i}`)]).writes;
  assert.equal(kept.length, 2);
  for (let i = 50; i < 100; i += 2) {
    kept = settle([...kept, remove(at(i), at(i - 1)), put(at(i + 1), `${i}`)]).writes;
  }
  assert.equal(kept.length, 1);
});

test("the later of two sets wins, and the later of two puts with all its fields", () => {
  const sets = [put(at(1), "0"), set(at(3, "b"), at(1), "later"), set(at(2), at(1), "earlier")];
  assert.equal(describe(settle(sets)), "later");
  assert.equal(describe(settle([...sets, put(at(4), "new")])), "new");
  assert.equal(describe(settle([put(at(2, "b"), "b"), put(at(2, "a"), "a")])), "b");
});

test("a delete wins over a change that was made at the same time, not over a later put", () => {
  const unseen = [put(at(1), "0"), set(at(9, "b"), at(1), "x"), remove(at(5), at(1))];
  assert.equal(describe(settle(unseen)), null);
  assert.equal(describe(settle([...unseen, put(at(6), "again")])), "again");
});

test("a rule that drops is not deleted by who has not seen it", () => {
  const deleted = remove(at(5), at(1), "acl");
  assert.equal(describe(settle([rule(at(1), "drop"), deleted])), null);
  assert.equal(describe(settle([rule(at(3, "b"), "drop"), deleted])), "drop");
  assert.equal(describe(settle([rule(at(3, "b"), "allow"), deleted])), null);
  assert.equal(
    describe(settle([rule(at(3, "b"), "drop"), deleted, remove(at(6), at(3, "b"), "acl")])),
    null,
  );
});

test("a name keeps the time since when it exists while it is changed", () => {
  const since = at(1);
  const document = { kind: "switch", name: "web" };
  const again = write(at(7), putText(at(7), "switch", "web", document, since));
  assert.deepEqual(settle([put(since, "0"), set(at(3), since, "x")]).entry!.created, since);
  assert.deepEqual(settle([put(since, "0"), again]).entry!.created, since);
  assert.deepEqual(settle([put(since, "0"), put(at(8), "x")]).entry!.created, at(8));
});
