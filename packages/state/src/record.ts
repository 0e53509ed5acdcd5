/**
 * What chassis exchange and keep: one entry a name, merged by "the last writer wins". Run by the
 * control thread of every chassis.
 *
 * Time is a Lamport clock (Lamport 1978, "Time, Clocks, and the Ordering of Events"): a change gets
 * a number greater than every number that its chassis has seen, so a change that knew of another
 * one wins over it, whatever the wall clocks say.
 */
import type { Kind, Resource } from "./schema.ts";

/** When and where a change was made. A chassis never uses one of its clock numbers twice. */
export interface Version {
  /** Lamport clock, an integer from 1 to CLOCK_MAX. */
  readonly clock: number;
  /** Name of the chassis. */
  readonly origin: string;
}

/** Far from 2⁵³, so that adding to it is exact. */
export const CLOCK_MAX = 2 ** 48;

/** The state of one name of one kind. */
export interface Entry<T extends Resource = Resource> {
  readonly kind: Kind;
  readonly name: string;
  /**
   * The smallest version in which the name was ever put, as far as is known here; it never grows.
   * A name that is deleted and put again keeps it: were it renewed, the outcome of three merges
   * would depend on their order.
   */
  readonly created: Version;
  readonly version: Version;
  /** null is a tombstone: deleted in `version`. */
  readonly value: T | null;
}

/** An entry that is no tombstone. */
export interface LiveEntry<T extends Resource = Resource> extends Entry<T> {
  readonly value: T;
}

export function isLive<T extends Resource>(entry: Entry<T>): entry is LiveEntry<T> {
  return entry.value !== null;
}

/** A total order: by clock, then by origin. Negative when `a` is the earlier one. */
export function compareVersions(a: Version, b: Version): number {
  return a.clock - b.clock || compareText(a.origin, b.origin);
}

/** By UTF-16 units: the same at every chassis, which `localeCompare` is not. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Entries with the same key are about the same thing. Names contain no slash. */
export function keyOf(entry: { readonly kind: Kind; readonly name: string }): string {
  return `${entry.kind}/${entry.name}`;
}

/**
 * What two chassis that know `a` and `b` about one name agree on: the value of the later version
 * and the earlier creation. Commutative, associative and idempotent. Returns `a` itself when `b`
 * adds nothing to it.
 */
export function merge<T extends Resource>(a: Entry<T>, b: Entry<T>): Entry<T> {
  const winner = compareEntries(a, b) >= 0 ? a : b;
  const created = compareVersions(a.created, b.created) <= 0 ? a.created : b.created;
  if (compareVersions(winner.created, created) === 0) return winner;
  return { ...winner, created };
}

/**
 * Two entries differ in nothing but their values only when a chassis lost its disk and counted
 * anew. Even then everybody has to choose the same one.
 */
function compareEntries(a: Entry, b: Entry): number {
  return (
    compareVersions(a.version, b.version) ||
    compareText(JSON.stringify(a.value), JSON.stringify(b.value))
  );
}
