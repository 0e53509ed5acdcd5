/**
 * What a store says of one name of one kind, made of the writes that it holds about it. Run by the
 * control thread of every chassis.
 */
import type { Kind, Resource } from "./schema.ts";

/** When and where a change was made. A chassis never uses one of its clock numbers twice. */
export interface Version {
  /** Of clock.ts: an integer from 1 to CLOCK_MAX. */
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
  /** When it was put the last time that it did not exist. */
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
