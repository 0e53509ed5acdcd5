import assert from "node:assert/strict";
import { test } from "node:test";
import { summaryOf } from "./many.ts";
import { replay, runSeed } from "./run.ts";

test("a cluster of 100 chassis keeps every promise", { timeout: 110_000 }, async (t) => {
  const startMs = performance.now();
  const outcome = await runSeed({ seed: 1, chassisMin: 100, chassisMax: 100, stormMs: 1500 });
  for (const line of summaryOf([outcome], (performance.now() - startMs) / 1000)) t.diagnostic(line);
  const { violation } = outcome;
  assert.equal(violation, null, `${violation?.message}\nagain: ${replay(outcome)}`);
});
