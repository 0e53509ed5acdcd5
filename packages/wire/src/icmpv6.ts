/**
 * ICMPv6 header (RFC 4443 §2.1): 4 bytes, and a first body word that every message has.
 *
 *   | Type (1) | Code (1) | Checksum (2) | message body (4…) |
 */
import * as sums from "./checksum.ts";

export const HEADER_SIZE = 8; // bytes, with the first word of the body
export const DESTINATION_UNREACHABLE = 1;
export const TIME_EXCEEDED = 3;
export const ECHO_REQUEST = 128;
export const ECHO_REPLY = 129;

const PROTOCOL = 58;
const TYPE_AND_CODE = 0;
const CHECKSUM = 2;
const BODY = 4;

export function isValid(_view: DataView, at: number, end: number): boolean {
  return end - at >= HEADER_SIZE;
}

export function type(view: DataView, at: number): number {
  return view.getUint8(at + TYPE_AND_CODE);
}

export function code(view: DataView, at: number): number {
  return view.getUint8(at + TYPE_AND_CODE + 1);
}

export function checksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM);
}

/** Of an echo request or reply (RFC 4443 §4). */
export function identifier(view: DataView, at: number): number {
  return view.getUint16(at + BODY);
}

/** Whether it is an echo request or reply: a message with an identifier. */
export function isEcho(view: DataView, at: number): boolean {
  const kind = type(view, at);
  return kind === ECHO_REQUEST || kind === ECHO_REPLY;
}

/** Whether it is about another packet, which it quotes (RFC 4443 §2.1: types below 128). */
export function isError(view: DataView, at: number): boolean {
  return type(view, at) < ECHO_REQUEST;
}

/** Writes the header with checksum and body word 0. */
export function write(view: DataView, at: number, type: number, code: number): void {
  view.setUint16(at + TYPE_AND_CODE, (type << 8) | code);
  view.setUint16(at + CHECKSUM, 0);
  view.setInt32(at + BODY, 0);
}

/** Computes the checksum of the message in `[at, end)` under the IPv6 header at `ipAt`. */
export function updateChecksum(view: DataView, ipAt: number, at: number, end: number): void {
  view.setUint16(at + CHECKSUM, 0);
  const pseudo = sums.pseudoHeader6(view, ipAt, PROTOCOL, end - at);
  view.setUint16(at + CHECKSUM, sums.fold(sums.sum(view, at, end, pseudo)));
}

/** Turns an echo request into its reply: swapped addresses do not change the sum, the type does. */
export function turnEchoIntoReply(view: DataView, at: number): void {
  const oldWord = view.getUint16(at + TYPE_AND_CODE);
  const newWord = (ECHO_REPLY << 8) | (oldWord & 0xff);
  view.setUint16(at + TYPE_AND_CODE, newWord);
  view.setUint16(at + CHECKSUM, sums.update16(checksum(view, at), oldWord, newWord));
}
