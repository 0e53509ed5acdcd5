/**
 * IPv4 header (RFC 791 §3.1): 20–60 bytes.
 *
 *   |Version|  IHL  |Type of Service|          Total Length         |
 *   |         Identification        |Flags|      Fragment Offset    |
 *   |  Time to Live |    Protocol   |         Header Checksum       |
 *   |                       Source Address                          |
 *   |                    Destination Address                        |
 *   |                    Options                    |    Padding    |
 */
import * as checksum from "./checksum.ts";

export const HEADER_SIZE = 20; // bytes, without options
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;

const VERSION_AND_IHL = 0;
const TYPE_OF_SERVICE = 1;
const TOTAL_LENGTH = 2;
const IDENTIFICATION = 4;
const FLAGS_AND_OFFSET = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SOURCE = 12;
const DESTINATION = 16;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;

export function isValid(view: DataView, at: number, end: number): boolean {
  if (end - at < HEADER_SIZE || view.getUint8(at + VERSION_AND_IHL) >>> 4 !== 4) return false;
  const size = headerSize(view, at);
  const total = totalLength(view, at);
  return size >= HEADER_SIZE && total >= size && total <= end - at;
}

/** Call after `isValid`. */
export function headerChecksumIsValid(view: DataView, at: number): boolean {
  return checksum.fold(checksum.sum(view, at, at + headerSize(view, at), 0)) === 0;
}

/** Bytes, options included. */
export function headerSize(view: DataView, at: number): number {
  return (view.getUint8(at + VERSION_AND_IHL) & 0x0f) * 4;
}

export function totalLength(view: DataView, at: number): number {
  return view.getUint16(at + TOTAL_LENGTH);
}

export function identification(view: DataView, at: number): number {
  return view.getUint16(at + IDENTIFICATION);
}

/** In units of 8 bytes. */
export function fragmentOffset(view: DataView, at: number): number {
  return view.getUint16(at + FLAGS_AND_OFFSET) & OFFSET_MASK;
}

export function moreFragments(view: DataView, at: number): boolean {
  return (view.getUint16(at + FLAGS_AND_OFFSET) & MORE_FRAGMENTS) !== 0;
}

export function dontFragment(view: DataView, at: number): boolean {
  return (view.getUint16(at + FLAGS_AND_OFFSET) & DONT_FRAGMENT) !== 0;
}

export function isFragment(view: DataView, at: number): boolean {
  return (view.getUint16(at + FLAGS_AND_OFFSET) & (OFFSET_MASK | MORE_FRAGMENTS)) !== 0;
}

export function ttl(view: DataView, at: number): number {
  return view.getUint8(at + TTL);
}

export function protocol(view: DataView, at: number): number {
  return view.getUint8(at + PROTOCOL);
}

export function headerChecksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM);
}

export function source(view: DataView, at: number): number {
  return view.getInt32(at + SOURCE);
}

export function destination(view: DataView, at: number): number {
  return view.getInt32(at + DESTINATION);
}

/** The setters leave the checksum to `updateChecksum`. */
export function setTotalLength(view: DataView, at: number, value: number): void {
  view.setUint16(at + TOTAL_LENGTH, value);
}

export function setIdentification(view: DataView, at: number, value: number): void {
  view.setUint16(at + IDENTIFICATION, value);
}

export function setTtl(view: DataView, at: number, value: number): void {
  view.setUint8(at + TTL, value);
}

export function setSource(view: DataView, at: number, value: number): void {
  view.setInt32(at + SOURCE, value);
}

export function setDestination(view: DataView, at: number, value: number): void {
  view.setInt32(at + DESTINATION, value);
}

/** Takes one off the TTL, which must not be 0, and adjusts the checksum (RFC 1624). */
export function decrementTtl(view: DataView, at: number): void {
  const oldWord = view.getUint16(at + TTL);
  const newWord = oldWord - 0x0100;
  view.setUint16(at + TTL, newWord);
  const updated = checksum.update16(view.getUint16(at + CHECKSUM), oldWord, newWord);
  view.setUint16(at + CHECKSUM, updated);
}

/** Computes the header checksum anew. */
export function updateChecksum(view: DataView, at: number): void {
  view.setUint16(at + CHECKSUM, 0);
  const partial = checksum.sum(view, at, at + headerSize(view, at), 0);
  view.setUint16(at + CHECKSUM, checksum.fold(partial));
}

/** Writes a header without options, DF set, and its checksum. */
export function write(
  view: DataView,
  at: number,
  totalLength: number,
  ttl: number,
  protocol: number,
  source: number,
  destination: number,
): void {
  view.setUint8(at + VERSION_AND_IHL, 0x45);
  view.setUint8(at + TYPE_OF_SERVICE, 0);
  view.setUint16(at + TOTAL_LENGTH, totalLength);
  view.setUint16(at + IDENTIFICATION, 0);
  view.setUint16(at + FLAGS_AND_OFFSET, DONT_FRAGMENT);
  view.setUint8(at + TTL, ttl);
  view.setUint8(at + PROTOCOL, protocol);
  view.setInt32(at + SOURCE, source);
  view.setInt32(at + DESTINATION, destination);
  updateChecksum(view, at);
}
