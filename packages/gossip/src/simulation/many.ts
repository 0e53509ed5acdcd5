/** Runs many seeds on all cores, and sums up what came out. */
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { PassageCounts } from "./passage.ts";
import type { Outcome, RunOptions } from "./run.ts";

/** Of a thread: a thousand chassis hold a million documents. */
const resourceLimits = { maxOldGenerationSizeMb: 7168, maxYoungGenerationSizeMb: 256 };

/** Calls `onOutcome` in the order in which seeds end, until one of them fails or `next` is null. */
export async function runMany(
  next: () => RunOptions | null,
  onOutcome: (outcome: Outcome) => void,
): Promise<void> {
  let hasFailed = false;
  const runOne = async (worker: Worker, options: RunOptions): Promise<Outcome> => {
    worker.postMessage(options);
    const [outcome] = (await once(worker, "message")) as [Outcome];
    return outcome;
  };
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL("./seed-worker.ts", import.meta.url), { resourceLimits });
    try {
      for (;;) {
        const options = hasFailed ? null : next();
        if (options === null) return;
        const outcome = await runOne(worker, options);
        hasFailed ||= outcome.violation !== null;
        onOutcome(outcome);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
}

/** Lines that say what a number of outcomes have in common. */
export function summaryOf(outcomes: readonly Outcome[], seconds: number): string[] {
  const sum = (numberOf: (outcome: Outcome) => number): number => {
    return outcomes.reduce((total, outcome) => total + numberOf(outcome), 0);
  };
  const tally = new Map<string, number>();
  for (const outcome of outcomes) {
    for (const [what, count] of outcome.tally) tally.set(what, (tally.get(what) ?? 0) + count);
  }
  const counted = [...tally].sort(([a], [b]) => (a < b ? -1 : 1));
  const spreadMs = outcomes.flatMap((outcome) => outcome.spreadMs);
  const packets = Object.entries(packetsOf(outcomes));
  const sizes = outcomes.map(({ plan }) => plan.chassisCount).sort((a, b) => a - b);
  return [
    `${outcomes.length} seeds in ${seconds.toFixed(1)} s, ` +
      `${(outcomes.length / seconds).toFixed(1)} seeds/s, ` +
      `${(sum(({ virtualMs }) => virtualMs) / 1000 / seconds).toFixed(0)} times real time, ` +
      `${sum(({ eventCount }) => eventCount)} events`,
    `${sizes[0]} to ${sizes.at(-1)} chassis, ${sum(({ ackCount }) => ackCount)} acknowledged`,
    `all the same after ${percentiles(outcomes.map(({ agreeMs }) => agreeMs))} of virtual time`,
    `written at one, held at all that run after ${percentiles(spreadMs)}`,
    `all held for alive after ${percentiles(outcomes.map(({ aliveMs }) => aliveMs))}`,
    `packets: ${packets.map(([what, count]) => `${count} ${what}`).join(", ")}`,
    ...counted.map(([what, count]) => `  ${String(count).padStart(7)} ${what}`),
  ];
}

/** What came of the packets of all outcomes together. */
export function packetsOf(outcomes: readonly Outcome[]): PassageCounts {
  const sums: PassageCounts = {
    ...{ same: 0, concurrent: 0, apart: 0, overdue: 0, urgent: 0, leftOut: 0, late: 0 },
  };
  for (const { passage } of outcomes) {
    for (const what of Object.keys(sums) as (keyof PassageCounts)[]) {
      sums[what] += passage?.[what] ?? 0;
    }
  }
  return sums;
}

function percentiles(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number): string => {
    return `${Math.round(sorted[Math.floor(part * sorted.length)] ?? 0)} ms`;
  };
  return `${at(0.5)} (p50), ${at(0.99)} (p99), ${Math.round(sorted.at(-1) ?? 0)} ms (most)`;
}
