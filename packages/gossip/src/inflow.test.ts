import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Inflow, TOKEN_SIZE, TOKENS_MAX, TOKENS_PER_SECOND } from "./inflow.ts";

test("an origin has its burst, and then its rate, whatever others say", () => {
  let nowMs = 0;
  const inflow = new Inflow({ now: () => nowMs, originsMax: 8 });
  const takenOf = (origin: string, count: number): number =>
    Array.from({ length: count }, () => inflow.takes(origin, 0)).filter((taken) => taken).length;
  assert.equal(takenOf("a", TOKENS_MAX * 3), TOKENS_MAX);
  assert.equal(takenOf("b", 10), 10);
  nowMs += 500;
  assert.equal(takenOf("a", TOKENS_MAX), TOKENS_PER_SECOND / 2);
  nowMs += 3_600_000;
  assert.equal(takenOf("a", TOKENS_MAX * 3), TOKENS_MAX);
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
        for (let i = 0; i < count; i++) taken += Number(inflow.takes("a", 0));
        assert.ok(taken <= TOKENS_MAX + (nowMs * TOKENS_PER_SECOND) / 1000);
      }
    }),
  );
});

test("as many origins are remembered as were asked for, the silent ones are forgotten", () => {
  const inflow = new Inflow({ now: () => 0, originsMax: 2 });
  const exhaust = (origin: string): void => {
    while (inflow.takes(origin, 0));
  };
  exhaust("a");
  exhaust("b");
  assert.ok(!inflow.takes("a", 0));
  assert.ok(inflow.takes("c", 0));
  assert.ok(!inflow.takes("a", 0), "it was heard after b");
  assert.ok(inflow.takes("b", 0), "its bucket is a new one");
});

test("a large message costs as much as many small ones", () => {
  const inflow = new Inflow({ now: () => 0, originsMax: 2 });
  const size = 99 * TOKEN_SIZE;
  const taken = Array.from({ length: 50 }, () => inflow.takes("a", size)).filter((taken) => taken);
  assert.equal(taken.length, TOKENS_MAX / 100);
});
