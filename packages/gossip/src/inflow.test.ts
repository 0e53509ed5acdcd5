import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CHANGES_BURST, CHANGES_PER_SECOND, Inflow } from "./inflow.ts";

test("an origin has its burst, and then its rate, whatever others say", () => {
  let nowMs = 0;
  const inflow = new Inflow({ now: () => nowMs, originsMax: 8 });
  const takenOf = (origin: string, count: number): number =>
    Array.from({ length: count }, () => inflow.takes(origin)).filter((taken) => taken).length;
  assert.equal(takenOf("a", CHANGES_BURST * 3), CHANGES_BURST);
  assert.equal(takenOf("b", 10), 10);
  nowMs += 500;
  assert.equal(takenOf("a", CHANGES_BURST), CHANGES_PER_SECOND / 2);
  nowMs += 3_600_000;
  assert.equal(takenOf("a", CHANGES_BURST * 3), CHANGES_BURST);
});

test("never more is taken in any time than burst and rate allow", () => {
  const step = fc.record({ pauseMs: fc.nat({ max: 400 }), count: fc.nat({ max: 1500 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      let nowMs = 0;
      let taken = 0;
      const inflow = new Inflow({ now: () => nowMs, originsMax: 2 });
      for (const { pauseMs, count } of steps) {
        nowMs += pauseMs;
        for (let i = 0; i < count; i++) taken += Number(inflow.takes("a"));
        assert.ok(taken <= CHANGES_BURST + (nowMs * CHANGES_PER_SECOND) / 1000);
      }
    }),
  );
});

test("as many origins are remembered as were asked for, the silent ones are forgotten", () => {
  const inflow = new Inflow({ now: () => 0, originsMax: 2 });
  const exhaust = (origin: string): void => {
    while (inflow.takes(origin));
  };
  exhaust("a");
  exhaust("b");
  assert.ok(!inflow.takes("a"));
  assert.ok(inflow.takes("c"));
  assert.ok(!inflow.takes("a"), "it was heard after b");
  assert.ok(inflow.takes("b"), "its bucket is a new one");
});
