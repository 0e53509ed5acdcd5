/** The property test can fail: each of these mistakes, put into a stage, is found by it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TableHistory } from "@rhone/dataplane-worker/table-history";
import type { Batch, Core } from "@rhone/pipeline-stages/core";
import { STAGES, type Stage } from "@rhone/pipeline-stages/pipeline";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import fc from "fast-check";
import { caseSpec } from "./case-spec.ts";
import { compare } from "./compare.ts";

const CASES_MAX = 1000;
const { bytes } = poolViews();

type Run = Stage["run"];

interface Mutant {
  readonly mistake: string;
  readonly stage: number;
  readonly make: (run: Run) => Run;
}

const skip = (): Run => () => {};

function forEach(batch: Batch, change: (slot: number) => void): void {
  for (let i = 0; i < batch.count; i++) change(batch.slots[i]!);
}

const MUTANTS: readonly Mutant[] = [
  { mistake: "connections are not looked up for the sender", stage: 1, make: skip },
  { mistake: "connections are not committed for the sender", stage: 5, make: skip },
  { mistake: "no rules are asked for the sender", stage: 2, make: skip },
  { mistake: "no rules are asked for the receiver", stage: 11, make: skip },
  { mistake: "nothing is routed", stage: 7, make: skip },
  { mistake: "connections are not looked up for the receiver", stage: 10, make: skip },
  { mistake: "connections are not committed for the receiver", stage: 13, make: skip },
  { mistake: "ports are given what is not theirs", stage: 14, make: skip },
  {
    mistake: "a router takes one too many of the TTL",
    stage: 7,
    make: (run) => (core, batch) => {
      run(core, batch);
      forEach(batch, (slot) => {
        const isRouted = (packet.flags(slot) & packet.FLAG_ROUTED) !== 0;
        if (isRouted && packet.etherType(slot) === 0x86dd) bytes[packet.l3At(slot) + 7]!--;
      });
    },
  },
  {
    mistake: "a drop is counted at another stage",
    stage: 6,
    make: (run) => (core, batch) => {
      core.stage = 7;
      run(core, batch);
    },
  },
  {
    mistake: "a packet is forgotten, with its slot",
    stage: 9,
    make: () => (_, batch) => {
      if (batch.count > 1) batch.count--;
    },
  },
  {
    mistake: "packets of a batch change places",
    stage: 9,
    make: () => (_, batch) => {
      if (batch.count > 1) exchangeBytes(batch.slots[0]!, batch.slots[1]!);
    },
  },
  ...[2, 11].map((stage) => ({
    mistake: `a connection that was blocked is open again at stage ${stage}`,
    stage,
    make:
      (run: Run): Run =>
      (core, batch) => {
        forEach(batch, (slot) => {
          packet.setConnection(slot, packet.connection(slot) & ~packet.CONNECTION_BLOCKED);
        });
        run(core, batch);
      },
  })),
  {
    mistake: "a packet is counted twice",
    stage: 11,
    make: () => (core: Core) => core.counters.countStage(11, 1),
  },
];

/** Of the source MAC addresses, one byte. */
function exchangeBytes(a: number, b: number): void {
  const [at, other] = [packet.frameAt(a) + 11, packet.frameAt(b) + 11];
  [bytes[at], bytes[other]] = [bytes[other]!, bytes[at]!];
}

/** Whether the property test finds what is wrong now. */
function isFound(): boolean {
  const property = fc.property(caseSpec, compare);
  return fc.check(property, { numRuns: CASES_MAX, seed: 1, endOnFailure: true }).failed;
}

for (const { mistake, stage, make } of MUTANTS) {
  test(`finds that ${mistake}`, () => {
    const stages = STAGES as Stage[];
    const genuine = stages[stage]!;
    stages[stage] = { ...genuine, run: make(genuine.run) };
    try {
      assert.ok(isFound(), "every case agreed");
    } finally {
      stages[stage] = genuine;
    }
  });
}

test("finds that packets end under other tables than they began under", () => {
  const { prototype } = TableHistory;
  const genuine = prototype.find;
  prototype.find = function find(this: TableHistory) {
    return this.newest;
  };
  try {
    assert.ok(isFound(), "every case agreed");
  } finally {
    prototype.find = genuine;
  }
});
