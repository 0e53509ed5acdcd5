/**
 * The connectivity matrix of a lab: real programs in every workload, and a verdict for each try.
 */
import type { CountersView } from "@rhone/api/context";
import type { CheckContext, Finding } from "./check-context.ts";
import { checkPairs, checkRefused } from "./check-pairs.ts";
import { checkRouters } from "./check-router.ts";
import { checkSpoofed } from "./check-spoofed.ts";
import type { RunningLab } from "./lab.ts";
import { WorkloadAgent } from "./workload.ts";

export interface CheckReport {
  readonly ok: boolean;
  readonly durationMs: number;
  readonly findings: readonly Finding[];
}

/** What the check needs of a lab. */
export type CheckTarget = Pick<RunningLab, "lab" | "namespaceOf"> & Pick<CheckContext, "drops">;

export function checkLab(running: RunningLab): Promise<CheckReport> {
  return check({
    lab: running.lab,
    namespaceOf: (name) => running.namespaceOf(name),
    drops: () => countDrops(running),
  });
}

export async function check({ lab, namespaceOf, drops }: CheckTarget): Promise<CheckReport> {
  const began = performance.now();
  const agents = lab.workloads.map(
    (workload) => new WorkloadAgent(workload, namespaceOf(workload.name)),
  );
  try {
    await Promise.all(agents.map((agent) => agent.ready()));
    const context = { lab, agents, drops };
    const findings = await checkPairs(context);
    findings.push(...(await checkRouters(context)));
    findings.push(...(await checkRefused(context)));
    findings.push(...(await checkSpoofed(context)));
    const durationMs = Math.round(performance.now() - began);
    return { ok: findings.every(({ ok }) => ok), durationMs, findings };
  } finally {
    await Promise.all(agents.map((agent) => agent.stop()));
  }
}

async function countDrops({ chassis }: RunningLab): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const { process } of chassis) {
    const { drops } = await process.client.get<CountersView>("/v1/counters");
    for (const { reason, packets } of drops) sums.set(reason, (sums.get(reason) ?? 0) + packets);
  }
  return sums;
}
