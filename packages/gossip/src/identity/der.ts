/**
 * Writes the subset of DER that a certificate needs. Source: ITU-T X.690 §8 and §10; the
 * universal tags are of X.680 §8.4.
 *
 *   value = tag (1 byte) | length (1 byte below 128, else 0x80 + count and that many) | contents
 *
 * Each function returns a whole value. Nothing here reads: node:crypto does.
 */

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const GENERALIZED_TIME = 0x18;
const UTC_TIME = 0x17;
const SEQUENCE = 0x30;
const SET = 0x31;
const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;
/** From here on a year has no UTCTime (RFC 5280 §4.1.2.5). */
const YEAR_OF_GENERALIZED_TIME = 2050;

export function sequence(...items: readonly Uint8Array[]): Uint8Array {
  return value(SEQUENCE, items);
}

export function set(...items: readonly Uint8Array[]): Uint8Array {
  return value(SET, items);
}

export function boolean(isTrue: boolean): Uint8Array {
  return value(BOOLEAN, [Uint8Array.of(isTrue ? 0xff : 0)]);
}

/** A number that is not negative, its bytes from the highest down, at least one. */
export function integer(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = bytes.subarray(start);
  // A first bit that is set would make it negative.
  return value(INTEGER, digits[0]! >= 0x80 ? [Uint8Array.of(0), digits] : [digits]);
}

/** Whole bytes, or with `unusedBits` of the last one left out. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Uint8Array {
  return value(BIT_STRING, [Uint8Array.of(unusedBits), bytes]);
}

export function octetString(bytes: Uint8Array): Uint8Array {
  return value(OCTET_STRING, [bytes]);
}

/** `text` as "2.5.29.17". */
export function objectIdentifier(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  return value(OBJECT_IDENTIFIER, [
    Uint8Array.from([first * 40 + second, ...rest].flatMap(base128)),
  ]);
}

export function utf8String(text: string): Uint8Array {
  return value(UTF8_STRING, [new TextEncoder().encode(text)]);
}

/** Of whole seconds, as a certificate writes it (RFC 5280 §4.1.2.5). */
export function time(timeMs: number): Uint8Array {
  const date = new Date(timeMs);
  const digits = date.toISOString().replace(/\.\d+/, "").replace(/[-:T]/g, "");
  const isLate = date.getUTCFullYear() >= YEAR_OF_GENERALIZED_TIME;
  const text = new TextEncoder().encode(isLate ? digits : digits.slice(2));
  return value(isLate ? GENERALIZED_TIME : UTC_TIME, [text]);
}

/** `[number] IMPLICIT` of a primitive type. */
export function contextPrimitive(number: number, contents: Uint8Array): Uint8Array {
  return value(CONTEXT | number, [contents]);
}

/** `[number] EXPLICIT`, or IMPLICIT of a constructed type. */
export function contextConstructed(number: number, ...items: readonly Uint8Array[]): Uint8Array {
  return value(CONTEXT | CONSTRUCTED | number, items);
}

function value(tag: number, parts: readonly Uint8Array[]): Uint8Array {
  const contents = Buffer.concat(parts);
  return Buffer.concat([Uint8Array.of(tag), length(contents.length), contents]);
}

function length(size: number): Uint8Array {
  if (size < 0x80) return Uint8Array.of(size);
  const digits: number[] = [];
  for (let rest = size; rest > 0; rest >>>= 8) digits.unshift(rest & 0xff);
  return Uint8Array.of(0x80 | digits.length, ...digits);
}

/** Seven bits a byte, the highest first; all but the last have the top bit set. */
function base128(component: number): number[] {
  const bytes = [component & 0x7f];
  for (let rest = component >>> 7; rest > 0; rest >>>= 7) bytes.unshift(0x80 | (rest & 0x7f));
  return bytes;
}
