/** A whole case of the property test: a network, what is sent in it, and how the cluster runs. */
import fc from "fast-check";
import type { CaseSpec } from "./compare.ts";
import { CUT_STAGES } from "./cuts.ts";
import { changeSpec, networkSpec } from "./network-spec.ts";
import { packetSpec } from "./packet-spec.ts";

const PACKETS_MAX = 40;

export const caseSpec: fc.Arbitrary<CaseSpec> = fc.record({
  network: networkSpec,
  packets: fc.array(packetSpec, { minLength: 1, maxLength: PACKETS_MAX, size: "max" }),
  changes: fc.array(changeSpec, { maxLength: 3 }),
  seed: fc.nat(2 ** 30),
  isUnderlayBad: fc.boolean(),
  cuts: fc.array(fc.constantFrom(...CUT_STAGES), { maxLength: 3 }),
});
