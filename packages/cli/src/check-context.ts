/** What every part of the check works with, and what it finds. */
import type { Lab } from "./lab-file.ts";
import type { WorkloadAgent } from "./workload.ts";

export interface CheckContext {
  readonly lab: Lab;
  readonly agents: readonly WorkloadAgent[];
  /** Packets dropped so far on all chassis, by reason. */
  readonly drops: () => Promise<ReadonlyMap<string, number>>;
}

export interface Finding {
  readonly group: "pair" | "router" | "refused" | "spoofed";
  /** What was tried: "tcp4", "hop limit 1". */
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly ok: boolean;
  readonly detail: string;
}

export const FAMILIES = [4, 6] as const;
export type Family = (typeof FAMILIES)[number];

/**
 * Arguments of `ping`, for so many requests. Without -w it waits for the last reply no longer than
 * its interval once another one has come, whatever -W says, and counts a late reply as lost. With
 * it, it sends more meanwhile: firstAnswered counts those that were asked for.
 */
export function pingArguments(count: number): string[] {
  return ["-c", String(count), "-i", "0.25", "-w", String(PATIENCE_SECONDS)];
}

/** How long a packet that must come is waited for: a processor may have much else to do. */
const PATIENCE_SECONDS = 3;
/** How long a packet that must not come is waited for. */
export const SILENCE_SECONDS = 0.3;

/** "3 packets transmitted, 3 received, 0% packet loss" of what `ping` printed. */
export function pingSummary(printed: string): string {
  const summary = /\d+ packets transmitted.*/.exec(printed)?.[0];
  return summary ?? printed.split("\n")[0] ?? "";
}

/** How many of the first `count` requests were answered. */
export function firstAnswered(printed: string, count: number): number {
  const numbers = [...printed.matchAll(/icmp_seq=(\d+) (?:ttl|hop)/g)].map(([, n]) => Number(n));
  return new Set(numbers.filter((number) => number <= count)).size;
}

export function pingReceived(printed: string): number {
  return Number(/(\d+) received/.exec(printed)?.[1] ?? 0);
}
