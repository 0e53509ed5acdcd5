/**
 * A pipeline that is cut anywhere gives what one gives that is not: stages that run at another
 * worker or another chassis than their packets change no frame, no verdict, no counter and no
 * connection. S57, over every stage that can be placed.
 */
import { test } from "node:test";
import fc from "fast-check";
import { caseSpec } from "./case-spec.ts";
import { compare } from "./compare.ts";
import { placementSpecs } from "./network-spec.ts";

const CASES = 500;
/** Always the same cases, so that a change is judged by what it changes. */
const seed = Number(process.env["SEED"] ?? 57);

test(`S57: random places for stages, seed ${seed}`, () => {
  fc.assert(
    fc.property(caseSpec, placementSpecs, (spec, placements) => {
      // A packet that goes elsewhere and back is lost more often on a bad underlay; and the other
      // cuts would use its hand-offs up.
      compare({
        ...spec,
        cuts: [],
        isUnderlayBad: false,
        network: { ...spec.network, placements },
      });
    }),
    { numRuns: CASES, seed },
  );
});
