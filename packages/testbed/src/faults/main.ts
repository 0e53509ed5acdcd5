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

const ROWS = [...new Set(FAULTS.map(({ row }) => row))].join(", ");
const USAGE = `Usage: npm run faults -- [options]

  --only N,M   only these rows, of ${ROWS}
  --split N    seconds that a partition lasts, 1 or more (default 60)
  --runtime R  node (default) or deno
  --help       this

Exit status: 0 when nothing was lost that must not be, 1 when something was, 2 when the options
cannot be read. Needs root, for network namespaces; sends nothing outside of them.
`;
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

interface Wishes {
  readonly faults: readonly Fault[];
  readonly splitMs: number;
  readonly runtime: Runtime;
}

/** Null when only the usage is wanted. Throws where an option is none, or means nothing. */
function readWishes(): Wishes | null {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      split: { type: "string", default: "60" },
      runtime: { type: "string", default: "node" },
      help: { type: "boolean", default: false },
    },
  });
  const { only, split, runtime, help } = values;
  if (help) return null;
  if (runtime !== "node" && runtime !== "deno") {
    throw new RangeError(`--runtime: expected node or deno, got "${runtime}"`);
  }
  if (!(Number(split) >= 1)) {
    throw new RangeError(`--split: expected a number from 1 on, got "${split}"`);
  }
  const rows = only?.split(",").map((text) => {
    if (text !== "" && FAULTS.some(({ row }) => row === Number(text))) return Number(text);
    throw new RangeError(`--only: expected some of ${ROWS}, got "${text}"`);
  });
  const faults = FAULTS.filter(({ row }) => rows?.includes(row) ?? true);
  return { faults, splitMs: Number(split) * 1000, runtime };
}

async function tryAll({ faults, splitMs, runtime }: Wishes): Promise<void> {
  print(HEAD);
  print(HEAD.map(() => "--"));
  let rig: Rig | null = null;
  for (const fault of faults) {
    const hasHubs = fault.hasHubs === true;
    if (rig !== null && rig.hasHubs !== hasHubs) {
      await down(rig);
      rig = null;
    }
    if (rig === null) {
      rig = new Rig(runtime, splitMs, hasHubs);
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

let wishes: Wishes | null = null;
try {
  wishes = readWishes();
  if (wishes === null) process.stdout.write(USAGE);
} catch (error) {
  process.stderr.write(`faults: ${(error as Error).message}\n\n${USAGE}`);
  process.exitCode = 2;
}
if (wishes !== null) await tryAll(wishes);
