/**
 * The product agrees with the golden router: for random networks, placements and packets the same
 * frames leave by the same ports, the same packets are dropped at the same stages for the same
 * reasons, the counters of all stages and the connections are the same, and no slot is lost.
 */
import { test } from "node:test";
import fc from "fast-check";
import { caseSpec } from "./case-spec.ts";
import { compare } from "./compare.ts";
import { FIXED_CASES } from "./fixed-cases.ts";

const CASES = 1000;
/** Of the run; a failure prints it, and the environment can bring it back. */
const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);

test(`random networks and packets, seed ${seed}`, () => {
  fc.assert(fc.property(caseSpec, compare), { numRuns: CASES, seed });
});

for (const [name, spec] of Object.entries(FIXED_CASES)) test(name, () => compare(spec));
