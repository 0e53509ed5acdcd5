/** Bytes for tests: hex, and headers placed where a read too far cannot go unnoticed. */
import assert from "node:assert/strict";
import fc from "fast-check";

/** White space between the digits is ignored. */
export function fromHex(hex: string): Uint8Array {
  const digits = hex.replace(/\s/g, "");
  assert.match(digits, /^([0-9a-f]{2})*$/);
  return Uint8Array.from(digits.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export interface Placed {
  readonly view: DataView;
  readonly at: number;
  readonly end: number;
  /** The same bytes, to be looked at after a change. */
  readonly bytes: Uint8Array;
}

const LEAD = 3; // An odd offset, so that nothing may rely on alignment.

/** Copies the bytes to the very end of a buffer: one byte further, and the view throws. */
export function place(bytes: Uint8Array): Placed {
  const buffer = new Uint8Array(LEAD + bytes.length).fill(0xa5);
  buffer.set(bytes, LEAD);
  const view = new DataView(buffer.buffer);
  return { view, at: LEAD, end: buffer.length, bytes: buffer.subarray(LEAD) };
}

type IsValid = (view: DataView, at: number, end: number) => boolean;
type Use = (view: DataView, at: number, end: number) => void;

/** The shortest truncation that is valid; every longer one must be valid too. */
export function shortestValid(bytes: Uint8Array, isValid: IsValid): number {
  const verdicts = Array.from({ length: bytes.length + 1 }, (_, length) => {
    const { view, at, end } = place(bytes.subarray(0, length));
    return isValid(view, at, end);
  });
  const first = verdicts.indexOf(true);
  assert.ok(first >= 0, "no length is valid");
  assert.ok(verdicts.slice(first).every(Boolean), "valid, and with more bytes no longer");
  return first;
}

/**
 * `use` must not throw for any bytes that `isValid` lets through: every truncation of every sample,
 * samples with some bytes changed, and bytes of pure chance.
 */
export function neverReadsPastEnd(
  samples: readonly Uint8Array[],
  isValid: IsValid,
  use: Use,
): void {
  const run = (bytes: Uint8Array): void => {
    const { view, at, end } = place(bytes);
    if (isValid(view, at, end)) use(view, at, end);
  };
  for (const sample of samples) {
    for (let length = 0; length <= sample.length; length++) run(sample.subarray(0, length));
  }
  const change = fc.tuple(fc.nat({ max: 79 }), fc.nat({ max: 255 }));
  const changed = fc
    .tuple(fc.constantFrom(...samples), fc.array(change, { maxLength: 6 }), fc.nat({ max: 200 }))
    .map(([sample, changes, length]) => {
      const bytes = sample.slice(0, length);
      for (const [index, value] of changes) if (index < bytes.length) bytes[index] = value;
      return bytes;
    });
  const chance = fc.uint8Array({ maxLength: 96 });
  fc.assert(fc.property(fc.oneof(changed, chance), run), { numRuns: 2000 });
}
