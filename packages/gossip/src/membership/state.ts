/**
 * What one chassis knows of the others' lives, as plain data, and the times that follow from it
 * (swim.ts).
 */

import type { Way } from "../peer-link/fallback-transport.ts";
import type { Member, Status } from "./claim.ts";
import type { Message } from "./messages.ts";

export const PROBE_INTERVAL_MS = 500;
const SUSPICION_PROBES = 2;
/** As long as nobody else accuses a suspect, it has that many times the time. */
const ALONE_FACTOR = 3;
export const CONFIRMATIONS_MAX = 3;
/** The time for others is multiplied by one more than it. */
export const HEALTH_MAX = 7;
export const MEMBERS_MAX = 1024;

export interface Probe {
  readonly target: string;
  readonly seq: number;
  /** When others are asked; Infinity once they were. */
  readonly askMs: number;
  readonly endMs: number;
  readonly asked: readonly string[];
  /** Those of them who said that they got no answer either. */
  readonly nacks: readonly string[];
}

/** A ping that is sent for another. */
export interface Relay {
  readonly asker: string;
  readonly askerSeq: number;
  readonly target: string;
  readonly seq: number;
  /** When the asker is told that there is no answer; Infinity once it was. */
  readonly nackMs: number;
  readonly endMs: number;
}

/** A step takes it over: what it was given is not to be used again. */
export interface State {
  readonly name: string;
  readonly incarnation: number;
  /** The others. */
  readonly members: Map<string, Member>;
  /** Those that are not dead, with ourselves, and of these the suspects. */
  readonly livingCount: number;
  readonly suspectCount: number;
  /** Those that there should be, whether or not they were ever heard. */
  readonly known: ReadonlySet<string>;
  /** What is to be told: names, and how many times more. */
  readonly news: Map<string, number>;
  /** Who is asked next, the last one first. */
  readonly turn: readonly string[];
  readonly seq: number;
  /** 0 when all is well here, HEALTH_MAX when we had better accuse nobody. */
  readonly health: number;
  readonly probeMs: number;
  readonly spreadMs: number;
  readonly probe: Probe | null;
  readonly relays: readonly Relay[];
}

export type Event =
  /** Time has passed. `lateMs`: since it was due; `entropy`: 32 bits of chance. */
  | {
      readonly type: "tick";
      readonly nowMs: number;
      readonly lateMs: number;
      readonly entropy: number;
    }
  | {
      readonly type: "message";
      readonly nowMs: number;
      readonly from: string;
      readonly message: Message;
    }
  /** All chassis that there should be. */
  | { readonly type: "known"; readonly nowMs: number; readonly names: readonly string[] };

export type Effect =
  | {
      readonly type: "send";
      readonly to: string;
      readonly message: Message;
      readonly way: Way;
    }
  | { readonly type: "status"; readonly name: string; readonly status: Status }
  /** A sender that is not taken in: there are MEMBERS_MAX. */
  | { readonly type: "refuse"; readonly name: string };

/** `incarnation` is greater than at the last start (incarnation.ts). */
export function begin(name: string, incarnation: number, nowMs: number): State {
  return {
    ...{ name, incarnation, members: new Map(), livingCount: 1, suspectCount: 0 },
    ...{ known: new Set(), news: new Map([[name, 1]]) },
    ...{ turn: [], seq: 0, health: 0, probeMs: nowMs, spreadMs: nowMs, probe: null, relays: [] },
  };
}

/** When the next tick is due. */
export function dueMs(state: State): number {
  const { members, news, probe, probeMs, spreadMs, relays, livingCount, health } = state;
  let due = probeMs;
  if (news.size > 0) due = Math.min(due, spreadMs);
  if (probe !== null) due = Math.min(due, probe.askMs, probe.endMs);
  for (const { nackMs, endMs } of relays) due = Math.min(due, nackMs, endMs);
  if (state.suspectCount === 0) return due;
  for (const member of members.values()) {
    if (member.status === "suspect") due = Math.min(due, deathMs(member, livingCount, health));
  }
  return due;
}

/** How long a suspect has in a cluster of `count`, with so many accusers. */
export function suspicionMs(count: number, accuserCount: number): number {
  const shortest = SUSPICION_PROBES * Math.max(1, Math.log10(count)) * PROBE_INTERVAL_MS;
  const wanted = Math.min(CONFIRMATIONS_MAX, count - 2);
  if (wanted <= 0) return shortest;
  const certainty = Math.min(1, Math.log(accuserCount) / Math.log(wanted + 1));
  return shortest * (ALONE_FACTOR - (ALONE_FACTOR - 1) * certainty);
}

/** When a suspect is dead, for one of `livingCount` whose doubt about itself is `health`. */
export function deathMs(
  { sinceMs, accusers }: Member,
  livingCount: number,
  health: number,
): number {
  return sinceMs + suspicionMs(livingCount, accusers.length) * (1 + health);
}
