/**
 * How old the knowledge of a chassis is: when it last held all that more than half of all chassis
 * held, itself among them.
 *
 * Whatever more than half of them hold, one of these holds too, as two such halves share a member.
 * So a write that was applied with `wait=quorum` is unknown here at most as long as this age.
 */

/**
 * Milliseconds since then, infinite when never. `heldMs` are, of each other chassis that is known,
 * dead or alive, when we last held all that it held; null when never.
 */
export function ageOfKnowledge(nowMs: number, heldMs: readonly (number | null)[]): number {
  const othersNeeded = Math.floor((heldMs.length + 1) / 2);
  if (othersNeeded === 0) return 0;
  const newestFirst = heldMs.map((at) => at ?? Number.NEGATIVE_INFINITY).sort((a, b) => b - a);
  return Math.max(0, nowMs - newestFirst[othersNeeded - 1]!);
}
