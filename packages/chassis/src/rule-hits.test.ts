import assert from "node:assert/strict";
import { test } from "node:test";
import { RULE_COUNTERS_SIZE, RULES_MAX, RuleCounters } from "@rhone/rings/rule-counters";
import { RuleHits } from "./rule-hits.ts";

function makeWorkers(): RuleCounters[] {
  return [0, 1].map(() => new RuleCounters(new SharedArrayBuffer(RULE_COUNTERS_SIZE)));
}

test("a rule keeps its counter while others come and go, and sums over the workers", () => {
  const workers = makeWorkers();
  const hits = new RuleHits(workers);
  const index = hits.follow(["a", "b"]).get("b")!;
  for (const worker of workers) worker.count(index);
  assert.equal(hits.follow(["b", "c", "d"]).get("b"), index);
  assert.equal(hits.of("b"), 2);
  assert.equal(hits.of("c"), 0);
  assert.equal(hits.of("a"), 0);
});

test("a rule that is made anew counts from 0, also with a used counter", () => {
  const workers = makeWorkers();
  const hits = new RuleHits(workers);
  const names = Array.from({ length: RULES_MAX }, (_, i) => `rule${i}`);
  const first = hits.follow(names).get("rule0")!;
  workers[0]!.count(first);
  hits.follow(names.slice(1));
  assert.equal(hits.follow([...names.slice(1), "new"]).get("new"), first);
  assert.equal(hits.of("new"), 0);
  workers[1]!.count(first);
  assert.equal(hits.of("new"), 1);
});

test("rules beyond the last counter are not counted", () => {
  const hits = new RuleHits(makeWorkers());
  const names = Array.from({ length: RULES_MAX + 1 }, (_, i) => `rule${i}`);
  const indices = hits.follow(names);
  assert.equal(indices.size, RULES_MAX);
  assert.equal(indices.get(`rule${RULES_MAX}`), undefined);
  assert.equal(hits.of(`rule${RULES_MAX}`), 0);
});
