/**
 * ICMP header (RFC 792): 8 bytes.
 *
 *   | Type (1) | Code (1) | Checksum (2) | identifier (2) | sequence (2), or unused (4) |
 */
import * as sums from "./checksum.ts";

export const HEADER_SIZE = 8; // bytes
export const ECHO_REPLY = 0;
export const DESTINATION_UNREACHABLE = 3;
export const REDIRECT = 5;
export const ECHO_REQUEST = 8;
export const TIME_EXCEEDED = 11;
export const PARAMETER_PROBLEM = 12;

const TYPE_AND_CODE = 0;
const CHECKSUM = 2;
const REST = 4;

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

export function identifier(view: DataView, at: number): number {
  return view.getUint16(at + REST);
}

export function sequence(view: DataView, at: number): number {
  return view.getUint16(at + REST + 2);
}

/** Whether it is an echo request or reply: a message with an identifier. */
export function isEcho(view: DataView, at: number): boolean {
  const kind = type(view, at);
  return kind === ECHO_REQUEST || kind === ECHO_REPLY;
}

/** Whether it asks: echo, timestamp, information (RFC 792), address mask (RFC 950). */
export function isRequest(view: DataView, at: number): boolean {
  const kind = type(view, at);
  return kind === ECHO_REQUEST || kind === 13 || kind === 15 || kind === 17;
}

/** Whether it is about another packet, which it quotes (RFC 1122 §3.2.2). */
export function isError(view: DataView, at: number): boolean {
  const kind = type(view, at);
  if (kind === TIME_EXCEEDED || kind === PARAMETER_PROBLEM) return true;
  return kind >= DESTINATION_UNREACHABLE && kind <= REDIRECT;
}

/** Writes the header with checksum 0; `rest` is its second word. */
export function write(view: DataView, at: number, type: number, code: number, rest: number): void {
  view.setUint16(at + TYPE_AND_CODE, (type << 8) | code);
  view.setUint16(at + CHECKSUM, 0);
  view.setInt32(at + REST, rest);
}

/** Computes the checksum of the message in `[at, end)`. */
export function updateChecksum(view: DataView, at: number, end: number): void {
  view.setUint16(at + CHECKSUM, 0);
  view.setUint16(at + CHECKSUM, sums.fold(sums.sum(view, at, end, 0)));
}

/** Turns an echo request into its reply; the checksum changes by the type alone. */
export function turnEchoIntoReply(view: DataView, at: number): void {
  const oldWord = view.getUint16(at + TYPE_AND_CODE);
  const newWord = (ECHO_REPLY << 8) | (oldWord & 0xff);
  view.setUint16(at + TYPE_AND_CODE, newWord);
  view.setUint16(at + CHECKSUM, sums.update16(checksum(view, at), oldWord, newWord));
}
