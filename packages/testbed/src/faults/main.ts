/**
 * Faults against real chassis in network namespaces, under load:
 *
 *   npm run faults                          all of them, a partition for a minute
 *   npm run faults -- --only 3,8 --split 5  some, and a partition of 5 s
 *   npm run faults -- --runtime deno
 *
 * Prints a line a fault, as docs/faults.md has them; exit status 1: one lost what it must not.
 */
import { parseArgs } from "node:util";
import type { Runtime } from "@rhone/cli/runtime";
import { FAULTS } from "./faults.ts";
import { Rig } from "./rig.ts";
import { type Fault, type Outcome, runFault } from "./run-fault.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    split: { type: "string", default: "60" },
    runtime: { type: "string", default: "node" },
  },
});
const HEAD = ["#", "fault", "gap", "lost", "acknowledged writes lost", "converged", "beside that"];

function print(cells: readonly (string | number)[]): void {
  process.stdout.write(`| ${cells.join(" | ")} |\n`);
}

function cellsOf(outcome: Outcome): string[] {
  const { gapMs, lost, sent, lostWrites, writes, convergedMs, note } = outcome;
  return [
    ...[`${gapMs} ms`, `${lost} of ${sent}`, `${lostWrites} of ${writes}`],
    ...[`${Math.round(convergedMs)} ms`, note],
  ];
}

/** False when something was lost that must not be. */
async function show(rig: Rig, fault: Fault): Promise<boolean> {
  const { row, name } = fault;
  const obstacle = fault.obstacle?.(rig) ?? "";
  if (obstacle !== "") {
    print([row, name, "", "", "", "", `not done: ${obstacle}`]);
    return true;
  }
  try {
    print([row, name, ...cellsOf(await runFault(rig, fault))]);
    return true;
  } catch (error) {
    print([row, name, "", "", "", "", `FAILED: ${(error as Error).message}`]);
    return false;
  }
}

async function main(): Promise<void> {
  const rows = values.only?.split(",").map(Number);
  const wanted = FAULTS.filter(({ row }) => rows?.includes(row) ?? true);
  print(HEAD);
  print(HEAD.map(() => "--"));
  let rig: Rig | null = null;
  for (const fault of wanted) {
    const hasHubs = fault.hasHubs === true;
    if (rig !== null && rig.hasHubs !== hasHubs) {
      await down(rig);
      rig = null;
    }
    if (rig === null) {
      rig = new Rig(values.runtime as Runtime, Number(values.split) * 1000, hasHubs);
      await rig.up();
    }
    const isGood = await show(rig, fault);
    if (!isGood) process.exitCode = 1;
    if (isGood && fault.spoilsLab !== true) continue;
    await down(rig);
    rig = null;
  }
  await rig?.down();
}

function down(rig: Rig): Promise<void> {
  return rig.down().catch((error: Error) => {
    process.stderr.write(`faults: ${error.message}\n`);
  });
}

await main();
