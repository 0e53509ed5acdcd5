/**
 * The faults of docs/faults.md that take seconds, one after the other in one lab, and some of them
 * with chassis on Deno. Those that other scenarios have (S56 threads, S60 partitions, S61
 * nats-servers, S62 chassis) are left to them, and what takes longer to `npm run faults`.
 */
import { after, before, describe, test } from "node:test";
import type { Runtime } from "@rhone/cli/runtime";
import { FAULTS } from "../faults/faults.ts";
import { Rig } from "../faults/rig.ts";
import { runFault } from "../faults/run-fault.ts";

const ROWS: Readonly<Record<Runtime, readonly number[]>> = {
  node: [2, 4, 5, 11, 12, 13, 14, 17, 21],
  deno: [4, 5, 13],
};
const UP_LIMIT = { timeout: 60_000 };
const LIMIT = { timeout: 150_000 };

for (const runtime of ["node", "deno"] as const) {
  describe(`with chassis on ${runtime}`, () => {
    const rig = new Rig(runtime, 0);
    before(() => rig.up(), UP_LIMIT);
    after(() => rig.down(), UP_LIMIT);

    for (const fault of FAULTS.filter(({ row }) => ROWS[runtime].includes(row))) {
      const skip = fault.obstacle?.(rig) || false;
      test(`fault ${fault.row}: ${fault.name}`, { ...LIMIT, skip }, async (t) => {
        const { gapMs, lost, sent, writes, convergedMs, note } = await runFault(rig, fault);
        const figures = `gap ${gapMs} ms, ${lost} of ${sent} lost, ${writes} writes kept`;
        t.diagnostic(`${figures}, converged after ${Math.round(convergedMs)} ms; ${note}`);
      });
    }
  });
}
