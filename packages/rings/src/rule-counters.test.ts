import assert from "node:assert/strict";
import { test } from "node:test";
import { RULE_COUNTERS_SIZE, RULES_MAX, RuleCounters } from "./rule-counters.ts";

test("what one view counts another one reads, each rule apart", () => {
  const buffer = new SharedArrayBuffer(RULE_COUNTERS_SIZE);
  const [worker, reader] = [new RuleCounters(buffer), new RuleCounters(buffer)];
  worker.count(0);
  worker.count(RULES_MAX - 1);
  worker.count(RULES_MAX - 1);
  assert.deepEqual(
    [0, 1, RULES_MAX - 1].map((index) => reader.hits(index)),
    [1, 0, 2],
  );
});

test("a rule without a counter counts nowhere", () => {
  const counters = new RuleCounters(new SharedArrayBuffer(RULE_COUNTERS_SIZE));
  counters.count(-1);
  for (let index = 0; index < RULES_MAX; index++) assert.equal(counters.hits(index), 0);
});
