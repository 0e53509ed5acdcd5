import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Fragments } from "./fragments.ts";

function load(fragments: Fragments, identification: number): void {
  fragments.key.fill(0);
  fragments.key[0] = (5 << 8) | 17;
  fragments.key[1] = identification;
  fragments.key[5] = 0x0a000001;
  fragments.key[9] = 0x0a000002;
}

test("recalls the ports of the very packet, for thirty seconds", () => {
  const fragments = new Fragments();
  load(fragments, 1);
  assert.equal(fragments.recall(0), false);
  fragments.remember(0x12345678, 0);
  load(fragments, 2);
  assert.equal(fragments.recall(0), false);
  load(fragments, 1);
  assert.equal(fragments.recall(30_000), true);
  assert.equal(fragments.ports, 0x12345678);
  assert.equal(fragments.recall(30_001), false);
});

test("a later packet with the same identification takes the place of the former", () => {
  const fragments = new Fragments();
  load(fragments, 1);
  fragments.remember(1, 0);
  fragments.remember(2, 10);
  assert.equal(fragments.recall(10), true);
  assert.equal(fragments.ports, 2);
});

test("under pressure the oldest give way and the newest are known", () => {
  const fragments = new Fragments();
  for (let i = 0; i < 10_000; i++) {
    load(fragments, i);
    fragments.remember(i, i);
    assert.equal(fragments.recall(i), true);
  }
  let known = 0;
  for (let i = 9_750; i < 10_000; i++) {
    load(fragments, i);
    if (fragments.recall(10_000)) known++;
  }
  assert.ok(known > 150, `expected most of the newest 250, got ${known}`);
});

test("what rested for a month is not taken for new", () => {
  const fragments = new Fragments();
  load(fragments, 1);
  fragments.remember(1, 0);
  assert.equal(fragments.recall(2 ** 31 + 1), false);
  assert.equal(fragments.recall(2 ** 32 - 1), false);
});

test("never recalls other ports than a Map, and forgets only in favour of newer packets", () => {
  const key = fc.array(fc.constantFrom(-1, 0, 1), { minLength: 10, maxLength: 10 });
  const step = fc.record({
    key: fc.nat(4),
    ports: fc.integer(),
    isRemembered: fc.boolean(),
    waitMs: fc.constantFrom(0, 1, 30_000),
  });
  const keys = fc.uniqueArray(key, { minLength: 5, maxLength: 5, selector: String });
  fc.assert(
    fc.property(keys, fc.array(step), fc.integer(), (five, steps, start) => {
      const fragments = new Fragments();
      const golden = new Map<number, { ports: number; at: number }>();
      let now = start;
      for (const { key, ports, isRemembered, waitMs } of steps) {
        now += waitMs;
        fragments.key.set(five[key]!);
        if (isRemembered) {
          fragments.remember(ports, now);
          golden.delete(key);
          golden.set(key, { ports, at: now });
          continue;
        }
        const expected = golden.get(key);
        const isKnown = expected !== undefined && now - expected.at <= 30_000;
        const isRecalled = fragments.recall(now);
        // Five may share a set of four; then the one that is longest ago gives way, or one of them.
        const newer = [...golden.values()].filter((each) => each.at >= (expected?.at ?? 0)).length;
        if (!isKnown || newer <= 4) assert.equal(isRecalled, isKnown);
        if (isRecalled) assert.equal(fragments.ports, expected!.ports);
      }
    }),
  );
});
