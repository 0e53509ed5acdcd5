import assert from "node:assert/strict";
import { test } from "node:test";
import { Patience } from "./patience.ts";

test("an answer is waited for by how long those before it took, and how much that varied", () => {
  const steady = new Patience(1000);
  const wild = new Patience(1000);
  for (let i = 0; i < 50; i++) {
    steady.answered(100);
    wild.answered(i % 2 === 0 ? 50 : 150);
  }
  assert.ok(steady.ms >= 100 && steady.ms < 110, `${steady.ms} ms`);
  assert.ok(wild.ms > 200, `${wild.ms} ms`);
});

test("where none comes, twice as long each time until one does, up to a limit", () => {
  const patience = new Patience(1000);
  patience.answered(40);
  const before = patience.ms;
  patience.missed();
  assert.equal(patience.ms, 2 * before);
  for (let i = 0; i < 10; i++) patience.missed();
  assert.equal(patience.ms, 1000);
  patience.answered(40);
  assert.ok(patience.ms <= before, `${patience.ms} ms`);
});

test("however quick answers are, there is time for a process to get its turn", () => {
  const patience = new Patience(1000);
  for (let i = 0; i < 50; i++) patience.answered(0.5);
  assert.equal(patience.ms, 50);
  assert.ok(new Patience(20).ms === 20, "the most is the most from the start");
});
