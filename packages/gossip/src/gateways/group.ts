/**
 * Who may forward for a gateway, in which order, and how many have to agree. Pure.
 */
import { createHash } from "node:crypto";

export interface Candidate {
  readonly chassis: string;
  /** The higher one is preferred. */
  readonly priority: number;
  /** Forwards only while no other member can. */
  readonly isDrained: boolean;
}

export interface Group {
  readonly members: readonly Candidate[];
  /** Chassis that grant, and never forward. */
  readonly witnesses: readonly string[];
}

/** Everybody who grants: members and witnesses. */
export function votersOf({ members, witnesses }: Group): string[] {
  return [...members.map(({ chassis }) => chassis), ...witnesses];
}

/**
 * Grants that a member needs. Of two voters one is enough, its own: otherwise neither could go on
 * without the other. Then nothing keeps both from forwarding while they do not hear each other.
 */
export function quorumOf(voterCount: number): number {
  return voterCount === 2 ? 1 : Math.floor(voterCount / 2) + 1;
}

/** Negative when `a` is preferred: not drained, the higher priority, the greater hash. */
export function compareCandidates(gateway: string, a: Candidate, b: Candidate): number {
  return (
    Number(a.isDrained) - Number(b.isDrained) ||
    b.priority - a.priority ||
    (weightOf(gateway, a.chassis) > weightOf(gateway, b.chassis) ? -1 : 1)
  );
}

/** Rendezvous hashing: the members of equal priority share the gateways among them. */
function weightOf(gateway: string, chassis: string): string {
  return createHash("sha256").update(`${gateway}/${chassis}`).digest("hex");
}
