/**
 * `npm run bench`: measures the router, and its peers beside it where they are installed.
 *
 * The sides of a case take turns; a line has the median, the spread, and the ratio of the medians.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import type { Case, Options, Side } from "./case.ts";
import { COMPILE_CASES } from "./compile.ts";
import { CONVERGENCE_CASES } from "./convergence.ts";
import { FORWARDING_CASES } from "./forwarding.ts";
import { LATENCY_CASES } from "./latency.ts";
import { LOSS_CASES } from "./loss.ts";
import { MEMORY_CASES } from "./memory.ts";
import { onBothRuntimes } from "./runtimes.ts";
import { SIMULATED_CASES } from "./simulated.ts";
import { format, type Summary, summarize } from "./statistics.ts";
import { TAP_CASES } from "./tap.ts";
import { TCP_CASES } from "./tcp.ts";

const CASES: readonly Case[] = [
  ...COMPILE_CASES,
  ...MEMORY_CASES,
  ...FORWARDING_CASES,
  ...TCP_CASES,
  ...TAP_CASES,
  ...LATENCY_CASES,
  ...LOSS_CASES,
  ...CONVERGENCE_CASES,
  ...SIMULATED_CASES,
];

/** Whose ratio says something about the runtime, and not about a peer or the kernel. */
const COMPARED_CASES: readonly Case[] = [...MEMORY_CASES, ...FORWARDING_CASES];

const USAGE = `Usage: npm run bench -- [options]

  --filter WORD   only cases whose name or goal has the word; may be given more than once
  --quick         three short rounds instead of five, and no case that takes minutes
  --runtime R     node (default) or deno
  --compare-runtimes   the cases on Deno beside the same on Node; without --filter those in memory
                  and those of forwarding
  --json          one JSON object a case
  --list          the cases, and nothing is measured
  --help          this

Peers that are compared with: Open vSwitch (Debian's openvswitch-switch) when it is installed, and
the kernel. Needs root, for network namespaces; sends nothing outside of them.
`;

interface Row {
  readonly name: string;
  readonly goals: string;
  readonly unit: string;
  readonly subject: string;
  readonly figure: Summary;
  readonly baselines: readonly { name: string; figure: Summary; ratio: number }[];
  readonly remarks: readonly string[];
}

async function measure(wanted: Case, options: Options): Promise<Row> {
  const prepared = await wanted.prepare(options);
  try {
    const sides: readonly Side[] = [prepared.subject, ...prepared.baselines];
    const figures: number[][] = sides.map(() => []);
    for (let round = 0; round < options.rounds; round++) {
      for (const [i, side] of sides.entries()) figures[i]!.push(await side.measure());
    }
    const [figure, ...others] = figures.map(summarize) as [Summary, ...Summary[]];
    return {
      name: wanted.name,
      goals: wanted.goals,
      unit: wanted.unit,
      subject: prepared.subject.name,
      figure,
      baselines: others.map((other, i) => ({
        name: prepared.baselines[i]!.name,
        figure: other,
        ratio: figure.median / other.median,
      })),
      remarks: prepared.remarks?.() ?? [],
    };
  } finally {
    await prepared.end();
  }
}

function print(row: Row): void {
  const text = ({ median, min, max }: Summary): string =>
    `${format(median)} (${format(min)}–${format(max)})`;
  console.log(`${row.goals.padEnd(8)} ${row.name}: ${text(row.figure)} ${row.unit}`);
  for (const { name, figure, ratio } of row.baselines) {
    console.log(`       ÷ ${name}: ${text(figure)} = ${format(ratio)}`);
  }
  for (const remark of row.remarks) console.log(`       ${remark}`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      filter: { type: "string", multiple: true },
      quick: { type: "boolean" },
      runtime: { type: "string", default: "node" },
      "compare-runtimes": { type: "boolean" },
      json: { type: "boolean" },
      list: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { runtime } = values;
  if (runtime !== "node" && runtime !== "deno") {
    throw new Error(`expected --runtime node or deno, got ${runtime}`);
  }
  const words = values.filter ?? [];
  const areCompared = values["compare-runtimes"] === true;
  const cases = areCompared && words.length === 0 ? COMPARED_CASES : CASES;
  const wanted = cases
    .filter(
      ({ name, goals }) =>
        words.length === 0 || words.some((word) => `${name} ${goals}`.includes(word)),
    )
    .filter(({ isLong }) => values.quick !== true || isLong !== true)
    .map((each) => (areCompared ? onBothRuntimes(each) : each));
  if (wanted.length === 0)
    throw new Error(`expected a case with ${words.join(" or ")}: see --list`);
  if (values.list === true) {
    for (const { name, goals, unit } of wanted) console.log(`${goals.padEnd(8)} ${name}, ${unit}`);
    return 0;
  }
  const isQuick = values.quick === true;
  const options: Options = { rounds: isQuick ? 3 : 5, seconds: isQuick ? 2 : 3, runtime };
  let failed = 0;
  for (const each of wanted) {
    try {
      const row = await measure(each, options);
      if (values.json === true) console.log(JSON.stringify(row));
      else print(row);
    } catch (error) {
      failed++;
      console.error(`${each.goals.padEnd(8)} ${each.name}: ${(error as Error).message}`);
    }
  }
  return failed === 0 ? 0 : 1;
}

main().then(
  (status) => process.exit(status),
  (error: Error) => {
    console.error(`bench: ${error.message}`);
    process.exit(2);
  },
);
