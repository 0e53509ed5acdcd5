/**
 * MAC addresses, IP addresses and prefixes as text and as numbers. For the control plane and logs.
 *
 * An IP address is four signed 32-bit words, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2), so that
 * one table and one comparison serve both. A prefix length is over those 128 bits: IPv4 /24 is 120.
 * Text that does not parse gives null.
 */
import { isIP } from "node:net";

export type Address = readonly [number, number, number, number];

export interface Mac {
  /** First four bytes, signed. */
  readonly high: number;
  /** Last two bytes. */
  readonly low: number;
}

export interface Prefix {
  /** As written: host bits are kept. */
  readonly address: Address;
  /** 0–128. */
  readonly length: number;
}

const MAPPED = 0xffff;
const IPV4_BITS = 96; // bits in front of an IPv4 address

export function parseMac(text: string): Mac | null {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return null;
  const bytes = text.split(":").map((byte) => Number.parseInt(byte, 16));
  const high = (bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!;
  return { high, low: (bytes[4]! << 8) | bytes[5]! };
}

export function formatMac({ high, low }: Mac): string {
  const hex = (high >>> 0).toString(16).padStart(8, "0") + low.toString(16).padStart(4, "0");
  return hex.match(/../g)!.join(":");
}

export function isIpv4(address: Address): boolean {
  return address[0] === 0 && address[1] === 0 && address[2] === MAPPED;
}

export function parseAddress(text: string): Address | null {
  const family = text.includes("%") ? 0 : isIP(text);
  if (family === 4) return [0, 0, MAPPED, parseDotted(text)];
  return family === 6 ? parseIpv6(text) : null;
}

/** Dotted decimal, or the canonical form of RFC 5952. */
export function formatAddress(address: Address): string {
  if (!isIpv4(address)) return formatIpv6(address);
  return [24, 16, 8, 0].map((shift) => (address[3] >>> shift) & 0xff).join(".");
}

function formatIpv6(address: Address): string {
  const groups = address.flatMap((word) => [(word >>> 16) & 0xffff, word & 0xffff]);
  const { start, length } = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (length < 2) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

export function parsePrefix(text: string): Prefix | null {
  const [addressText, lengthText, rest] = text.split("/");
  if (rest !== undefined || !/^(0|[1-9]\d{0,2})$/.test(lengthText ?? "")) return null;
  const address = parseAddress(addressText!);
  if (address === null) return null;
  // A mapped address written as IPv6 has its length over 128 bits already.
  const length = Number(lengthText) + (addressText!.includes(":") ? 0 : IPV4_BITS);
  return length <= 128 ? { address, length } : null;
}

export function formatPrefix({ address, length }: Prefix): string {
  if (!isIpv4(address) || length < IPV4_BITS) return `${formatIpv6(address)}/${length}`;
  return `${formatAddress(address)}/${length - IPV4_BITS}`;
}

/** The address with every bit behind the prefix cleared. */
export function networkOf(address: Address, length: number): Address {
  const [a, b, c, d] = address.map((word, i) => word & maskOf(length - i * 32));
  return [a!, b!, c!, d!];
}

export function prefixContains(prefix: Prefix, address: Address): boolean {
  const wanted = networkOf(prefix.address, prefix.length);
  return networkOf(address, prefix.length).every((word, i) => word === wanted[i]);
}

/** The link-local address of a MAC address's modified EUI-64 (RFC 4291 appendix A). */
export function linkLocalFromMac({ high, low }: Mac): Address {
  const flipped = high ^ 0x02000000; // The universal/local bit is inverted.
  const third = (flipped & ~0xff) | 0xff; // its first three bytes, then ff
  const fourth = 0xfe000000 | ((flipped & 0xff) << 16) | low; // fe, then its last three
  return [0xfe800000 | 0, 0, third, fourth];
}

function maskOf(bits: number): number {
  if (bits >= 32) return -1;
  return bits <= 0 ? 0 : -1 << (32 - bits);
}

function parseDotted(text: string): number {
  return text.split(".").reduce((word, byte) => (word << 8) | Number(byte), 0);
}

/** `text` is known to be an IPv6 address. */
function parseIpv6(text: string): Address {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  let hex = text;
  if (dotted !== null) {
    const word = parseDotted(dotted[2]!);
    hex = `${dotted[1]}${(word >>> 16).toString(16)}:${(word & 0xffff).toString(16)}`;
  }
  const [head, tail] = hex.split("::");
  const groupsOf = (part: string | undefined): number[] =>
    part ? part.split(":").map((group) => Number.parseInt(group, 16)) : [];
  const before = groupsOf(head);
  const after = groupsOf(tail);
  const zeros = new Array<number>(8 - before.length - after.length).fill(0);
  const groups = [...before, ...zeros, ...after];
  const wordAt = (i: number): number => (groups[i]! << 16) | groups[i + 1]!;
  return [wordAt(0), wordAt(2), wordAt(4), wordAt(6)];
}

/** The first of the longest runs of zero groups (RFC 5952 §4.2.3). */
function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i < groups.length; i++) {
    if (groups[i] !== 0) start = i + 1;
    else if (i + 1 - start > best.length) best = { start, length: i + 1 - start };
  }
  return best;
}
