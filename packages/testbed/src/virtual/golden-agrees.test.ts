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
/** Always the same, so that a change is judged by what it changes; `npm run fuzz` has others. */
const seed = Number(process.env["SEED"] ?? 1);

test(`random networks and packets, seed ${seed}`, () => {
  fc.assert(fc.property(caseSpec, compare), { numRuns: CASES, seed });
});

for (const [name, spec] of Object.entries(FIXED_CASES)) test(name, () => compare(spec));
