import assert from "node:assert/strict";
import { test } from "node:test";
import type { FaultName } from "./faults.ts";
import { packetsOf, runMany, summaryOf } from "./many.ts";
import { type Outcome, replay, runSeed } from "./run.ts";

const LIMIT = { timeout: 420_000 };
const SEEDS = 200;
const STORM_MS = 6000;
const GUEST_SEEDS = 12;
const GUEST_FAULTS: readonly FaultName[] = ["crash", "isolation", "partition", "clock-step"];
/** Only a bound: two cores with eighteen threads waiting did 107 seeds in 154 s. */
const WALL_MAX_MS = 400_000;
/** Of packets that could be on their way, as parts of those that met the same twice. */
const EXCUSED_MAX = 0.01;
const LEFT_OUT_MAX = 2;

function assertFine(outcome: Outcome): void {
  const { violation } = outcome;
  if (violation === null) return;
  assert.fail(`${violation.kind}: ${violation.message}\nagain: ${replay(outcome)}`);
}

test(`${SEEDS} clusters of 3 to 20 chassis keep every promise`, LIMIT, async (t) => {
  const outcomes: Outcome[] = [];
  const startMs = performance.now();
  let seed = 0;
  const next = () => {
    const isOver = seed === SEEDS || performance.now() - startMs > WALL_MAX_MS;
    return isOver ? null : { seed: ++seed, stormMs: STORM_MS };
  };
  await runMany(next, (outcome) => void outcomes.push(outcome));
  for (const line of summaryOf(outcomes, (performance.now() - startMs) / 1000)) t.diagnostic(line);
  for (const outcome of outcomes) assertFine(outcome);
  assert.equal(outcomes.length, SEEDS, `${outcomes.length} seeds in ${WALL_MAX_MS / 1000} s`);
  const { same, leftOut, concurrent, apart, overdue, urgent, late } = packetsOf(outcomes);
  const excused = concurrent + apart + overdue + urgent + late;
  assert.ok(excused <= same * EXCUSED_MAX, `${excused} of ${same} packets may meet something else`);
  assert.ok(leftOut <= same * LEFT_OUT_MAX, `${leftOut} beside ${same} packets are not looked at`);
});

test("guests of a few chassis that come and go for longer end where they are", LIMIT, async (t) => {
  const tally = new Map<string, number>();
  const startMs = performance.now();
  let seed = 1000;
  const outcomes: Outcome[] = [];
  const next = () => {
    const isOver = seed === 1000 + GUEST_SEEDS || performance.now() - startMs > WALL_MAX_MS;
    return isOver ? null : { seed: ++seed, chassisMax: 6, faults: GUEST_FAULTS };
  };
  await runMany(next, (outcome) => void outcomes.push(outcome));
  for (const outcome of outcomes) {
    assertFine(outcome);
    for (const [what, count] of outcome.tally) tally.set(what, (tally.get(what) ?? 0) + count);
  }
  for (const what of ["claims written", "ports taken from the dead", "ports that moved"]) {
    t.diagnostic(`${tally.get(what)} ${what}`);
    assert.ok(tally.get(what)! > 0, `expected ${what}`);
  }
});

test("what came after something that is missing does not begin unseen", LIMIT, async () => {
  assertFine(await runSeed({ seed: 31, chassisMin: 3, chassisMax: 6 }));
});

test("the same seed gives the same events, another one others", LIMIT, async () => {
  const digests: string[] = [];
  for (const seed of [11, 11, 12]) digests.push((await runSeed({ seed, chassisMax: 8 })).digest);
  assert.equal(digests[0], digests[1]);
  assert.notEqual(digests[0], digests[2]);
});
