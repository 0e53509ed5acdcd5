import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FAULT_NAMES } from "./faults.ts";
import { MUTANTS } from "./mutants.ts";
import { replay, runSeed } from "./run.ts";

const SEEDS_MAX = 100;
/** Only who has such a bug is given ports that come and go. */
const OF_PORTS = ["twice", "reclaimed", "stale", "double"];
const LIMIT = { timeout: 120_000 };

describe("a simulation finds a chassis in which", () => {
  for (const [name, { seams, found, faults = FAULT_NAMES }] of Object.entries(MUTANTS)) {
    test(name, LIMIT, async (t) => {
      for (let seed = 1; seed <= SEEDS_MAX; seed++) {
        const hasGuests = found.some((kind) => OF_PORTS.includes(kind));
        const { violation } = await runSeed({ seed, seams, faults, hasGuests, chassisMax: 6 });
        if (violation === null) continue;
        t.diagnostic(`seed ${seed}: ${violation.kind}: ${violation.message}`);
        assert.ok(found.includes(violation.kind), `expected ${found.join(" or ")}`);
        return;
      }
      assert.fail(`${SEEDS_MAX} seeds did not find it`);
    });
  }
});

test("the command that is printed for a failure replays it", LIMIT, async () => {
  const { seams } = MUTANTS["nothing is ever repaired"]!;
  const first = await runSeed({ seed: 7, seams, chassisMin: 4, chassisMax: 4, stormMs: 3000 });
  assert.equal(replay(first), "npm run sim -- --seed 7 --chassis 4 --storm 3");
  const again = await runSeed({ seed: 7, seams, chassisMin: 4, chassisMax: 4, stormMs: 3000 });
  assert.deepEqual(again.violation, first.violation);
  assert.equal(again.digest, first.digest);
});
