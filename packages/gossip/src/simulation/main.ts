/**
 * Simulated clusters, as many seeds as you like (docs/simulation.md):
 *
 *   npm run sim -- --chassis 3-20 --seeds 1000
 *   npm run sim -- --minutes 10 --seed 1
 *
 * A failure prints the command that does the same again; with --log that also prints all events.
 */
import { parseArgs } from "node:util";
import { FAULT_NAMES, FAULTS, type FaultName } from "./faults.ts";
import { runMany, summaryOf } from "./many.ts";
import { type Outcome, type RunOptions, replay, runSeed } from "./run.ts";

const SEEDS = 200;

const FAULT_LINES = FAULT_NAMES.map((name) => `${" ".repeat(21)}${name}\n`).join("");
const USAGE = `Usage: npm run sim -- [options]

  --chassis N|N-M  how many, 2 to 1000 (default 3-20)
  --seeds N        how many clusters (default ${SEEDS}; 1 with --seed, no end with --minutes)
  --seed N         of the first one; the others follow it
  --minutes N      begin no cluster after that time
  --storm N        seconds of virtual time with faults (default 20)
  --faults A,B     only these:
${FAULT_LINES}  --log            all events of one seed
  --help           this

Exit status: 0 when every promise was kept, 1 when not, 2 when the options cannot be read.
`;

/** Throws where there is an option of another name. */
function readOptions() {
  const { values } = parseArgs({
    options: {
      chassis: { type: "string", default: "3-20" },
      seeds: { type: "string" },
      seed: { type: "string" },
      minutes: { type: "string" },
      storm: { type: "string", default: "20" },
      faults: { type: "string", default: FAULT_NAMES.join() },
      log: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  return values;
}
type Values = ReturnType<typeof readOptions>;

async function main(): Promise<number> {
  const values = readOptions();
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const [chassisMin, chassisMax] = readRange(values.chassis);
  const options = {
    ...{ chassisMin, chassisMax, stormMs: readNumber("storm", values.storm) * 1000 },
    faults: readFaults(values.faults),
  };
  const first = values.seed === undefined ? aSeed() : readNumber("seed", values.seed);
  if (values.log) return log({ ...options, seed: first });
  const endMs = performance.now() + readNumber("minutes", values.minutes ?? "Infinity") * 60_000;
  const count = readNumber("seeds", values.seeds ?? defaultCount(values));
  const outcomes: Outcome[] = [];
  const startMs = performance.now();
  let given = 0;
  await runMany(
    () => {
      if (given >= count || performance.now() >= endMs) return null;
      return { ...options, seed: first + given++ };
    },
    (outcome) => void outcomes.push(outcome),
  );
  for (const line of summaryOf(outcomes, (performance.now() - startMs) / 1000)) console.log(line);
  const failed = outcomes.filter(({ violation }) => violation !== null);
  for (const outcome of failed) report(outcome);
  return failed.length === 0 ? 0 : 1;
}

/** The events of one seed. */
async function log(options: RunOptions): Promise<number> {
  const outcome = await runSeed({ ...options, onLine: (line) => process.stdout.write(line) });
  if (outcome.violation === null) return 0;
  report(outcome);
  return 1;
}

function report(outcome: Outcome): void {
  const { seed, violation, plan, digest } = outcome;
  console.error(`seed ${seed} fails, ${violation!.kind}: ${violation!.message}`);
  console.error(`  ${plan.chassisCount} chassis, faults: ${[...plan.faults.keys()].join(", ")}`);
  console.error(`  log ${digest}\n  again: ${replay(outcome)}`);
}

/** One seed when that was named, many when none was, no end when there is a time. */
function defaultCount(values: Values): string {
  if (values.minutes !== undefined) return "Infinity";
  return String(values.seed === undefined ? SEEDS : 1);
}

function aSeed(): number {
  return Date.now() % 2 ** 31;
}

function readNumber(name: string, text: string): number {
  const number = Number(text);
  if (number >= 0 && text !== "") return number;
  throw new RangeError(`--${name}: expected a number, got "${text}"`);
}

function readRange(text: string): [number, number] {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const [min, max] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
  if (min >= 2 && min <= max && max <= 1000) return [min, max];
  throw new RangeError(`--chassis: expected 2 to 1000, or a range such as 3-20, got "${text}"`);
}

function readFaults(text: string): FaultName[] {
  const names = text === "" ? [] : text.split(",");
  const wrong = names.find((name) => !(name in FAULTS));
  if (wrong === undefined) return names as FaultName[];
  throw new RangeError(`--faults: expected ${Object.keys(FAULTS).join(", ")}, got "${wrong}"`);
}

process.exitCode = await main().catch((error: Error & { code?: string }) => {
  const isOption = error instanceof RangeError || error.code?.startsWith("ERR_PARSE_ARGS") === true;
  console.error(isOption ? `sim: ${error.message}\n\n${USAGE}` : `sim: ${error.stack}`);
  return 2;
});
