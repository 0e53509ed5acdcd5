/**
 * The property test of golden-agrees.test.ts for as long as you like:
 *
 *   npm run fuzz -- --minutes 10 --seed 1
 *
 * A failure prints the smallest case that was found, ready to be put into fixed-cases.ts.
 */
import { parseArgs } from "node:util";
import fc from "fast-check";
import { caseSpec } from "./case-spec.ts";
import { type CaseSpec, compare } from "./compare.ts";

const CASES_AT_ONCE = 500;

const USAGE = `Usage: npm run fuzz -- [options]

  --minutes N  how long, 0.001 or more (default 1)
  --seed N     of the first ${CASES_AT_ONCE} cases; the next ones follow it
  --help       this

Exit status: 0 when all cases agree, 1 when one does not, 2 when the options cannot be read.
`;

function main(minutes: number, firstSeed: number): number {
  const startMs = performance.now();
  const endMs = startMs + minutes * 60_000;
  let cases = 0;
  for (let seed = firstSeed; performance.now() < endMs; seed++) {
    const result = fc.check(fc.property(caseSpec, compare), { numRuns: CASES_AT_ONCE, seed });
    cases += result.numRuns;
    if (result.failed) {
      report(seed, result.counterexample![0], result.errorInstance as Error);
      return 1;
    }
  }
  const seconds = (performance.now() - startMs) / 1000;
  const rate = Math.round(cases / seconds);
  console.log(`fuzz: ${cases} cases from seed ${firstSeed} on, ${rate} a second, all agree`);
  return 0;
}

function report(seed: number, spec: CaseSpec, error: Error): void {
  const text = JSON.stringify(spec, (_, value) =>
    value instanceof Uint8Array ? [...value] : value,
  );
  console.error(`fuzz: seed ${seed} fails:\n${text}\n${(error.stack ?? "").split("\n    at ")[0]}`);
}

/** Throws a RangeError where it is no number from `least` on. */
function readNumber(name: string, text: string, least: number): number {
  const number = Number(text);
  if (text !== "" && number >= least && Number.isFinite(number)) return number;
  throw new RangeError(`--${name}: expected a number from ${least} on, got "${text}"`);
}

function run(): number {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "1" },
      seed: { type: "string", default: String(Date.now() % 2 ** 31) },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const minutes = readNumber("minutes", values.minutes, 0.001);
  return main(minutes, readNumber("seed", values.seed, 0));
}

try {
  process.exitCode = run();
} catch (error) {
  console.error(`fuzz: ${(error as Error).message}\n\n${USAGE}`);
  process.exitCode = 2;
}
