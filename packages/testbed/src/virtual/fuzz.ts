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

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
  },
});

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

process.exitCode = main(Number(values.minutes), Number(values.seed));
