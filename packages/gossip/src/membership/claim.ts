/**
 * What chassis say about each other, and which of two such claims counts. Runs on the control
 * thread.
 *
 * A claim is about one incarnation of a chassis. Only the chassis itself makes later ones: when it
 * starts, and when it hears that others take it for suspect or dead while it lives. So a claim that
 * was true once cannot come back, and a lie about somebody who lives does not last.
 */

export const STATUSES = ["alive", "suspect", "dead"] as const;
export type Status = (typeof STATUSES)[number];

export interface Claim {
  readonly name: string;
  readonly status: Status;
  readonly incarnation: number;
  /** Who accuses: of a suspect, more accusers are more certain. "" for the other two. */
  readonly by: string;
}

/** A chassis as another one knows it. */
export interface Member {
  readonly name: string;
  readonly status: Status;
  /** 0 until it was heard of by more than its name. */
  readonly incarnation: number;
  /** When it got this status, by our clock. */
  readonly sinceMs: number;
  /** When it last answered or spoke, itself or through another; null when never. */
  readonly heardMs: number | null;
  /** Who accuses it; of others than suspects, nobody. */
  readonly accusers: readonly string[];
}

const RANK: Readonly<Record<Status, number>> = { alive: 0, suspect: 1, dead: 2 };

/** Whether the claim says more than what is known: a later incarnation, or worse of the same. */
export function overrides(claim: Claim, member: Member): boolean {
  if (claim.incarnation !== member.incarnation) return claim.incarnation > member.incarnation;
  return RANK[claim.status] > RANK[member.status];
}

/** Whether the claim is one more voice for a suspicion that is known. */
export function confirms(claim: Claim, member: Member): boolean {
  return (
    claim.status === "suspect" &&
    member.status === "suspect" &&
    claim.incarnation === member.incarnation &&
    !member.accusers.includes(claim.by)
  );
}
