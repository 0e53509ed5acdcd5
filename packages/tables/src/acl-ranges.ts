/**
 * Which values of each field of a packet a rule suits, as ranges of keys. Run by the control
 * thread, when tables are built.
 */
import type { AclEnd, AclPrefix, AclRule, PortRange } from "./acls.ts";
import { type AddressWords, IPV4_MAPPED } from "./ports.ts";

/** Unsigned words, the most significant first: four for an address, one for anything else. */
export type Key = readonly number[];

/** From `first` to below `end`; null has no end. */
export interface KeyRange {
  readonly first: Key;
  readonly end: Key | null;
}

/** The fields of a packet, in the order in which everything about them stands. */
export const FIELDS = [
  "source",
  "destination",
  "sourcePort",
  "destinationPort",
  "protocol",
] as const;
export type Field = (typeof FIELDS)[number];

const IPV4_LENGTH_MIN = 96;
const ZERO: Key = [0, 0, 0, 0];
/** ::ffff:0:0/96, all of IPv4. */
const IPV4: { readonly first: Key; readonly end: Key } = {
  first: [0, 0, IPV4_MAPPED, 0],
  end: [0, 0, IPV4_MAPPED + 1, 0],
};

/** None of the ranges of one field overlap; they ascend. */
export function rangesOf(rule: AclRule, field: Field): readonly KeyRange[] {
  switch (field) {
    case "source":
      return endRanges(rule.source);
    case "destination":
      return endRanges(rule.destination);
    case "sourcePort":
      return [portRange(rule.sourcePorts)];
    case "destinationPort":
      return [portRange(rule.destinationPorts)];
    case "protocol":
      return rule.protocol < 0
        ? [{ first: [0], end: null }]
        : [{ first: [rule.protocol], end: [rule.protocol + 1] }];
  }
}

export function compareKeys(a: Key, b: Key): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

function portRange({ first, last }: PortRange): KeyRange {
  return { first: [first], end: [last + 1] };
}

/** What is the same for two rules has to be asked once: see `rangesOf`. */
export function sharedBy(rule: AclRule, field: Field): object | null {
  return field === "source" || field === "destination" ? rule[field] : null;
}

function endRanges(end: AclEnd): readonly KeyRange[] {
  if (end === null) return [{ first: ZERO, end: null }];
  return "addresses" in end ? addressRanges(end.addresses) : prefixRanges(end);
}

/** Neighbours are one range. */
function addressRanges(addresses: readonly AddressWords[]): readonly KeyRange[] {
  const keys = addresses.map((address): Key => address.map((word) => word >>> 0));
  const ranges: { first: Key; end: Key | null }[] = [];
  for (const first of keys.sort(compareKeys)) {
    const last = ranges.at(-1);
    const isBehind = last !== undefined && (last.end === null || compareKeys(first, last.end) < 0);
    if (isBehind) continue; // It is there already.
    const end = successor(first);
    if (last !== undefined && compareKeys(first, last.end!) === 0) last.end = end;
    else ranges.push({ first, end });
  }
  return ranges;
}

/** A prefix of IPv6 suits no IPv4 address, however short it is. */
function prefixRanges({ address, length }: AclPrefix): readonly KeyRange[] {
  const masks = [0, 32, 64, 96].map((before) => maskOf(length - before));
  const first = address.map((word, i) => (word & masks[i]!) >>> 0);
  const last = address.map((word, i) => (word | ~masks[i]!) >>> 0);
  const end = successor(last);
  const holdsIpv4 =
    compareKeys(first, IPV4.first) <= 0 && (end === null || compareKeys(end, IPV4.end) >= 0);
  if (!holdsIpv4 || length >= IPV4_LENGTH_MIN) return [{ first, end }];
  const around = [
    { first, end: IPV4.first },
    { first: IPV4.end, end },
  ];
  return around.filter(({ first, end }) => end === null || compareKeys(first, end) < 0);
}

function successor(key: Key): Key | null {
  const next = [...key];
  for (let i = next.length - 1; i >= 0; i--) {
    if (next[i] !== 0xffffffff) {
      next[i]! += 1;
      return next;
    }
    next[i] = 0;
  }
  return null;
}

function maskOf(bits: number): number {
  if (bits >= 32) return -1;
  return bits <= 0 ? 0 : -1 << (32 - bits);
}
