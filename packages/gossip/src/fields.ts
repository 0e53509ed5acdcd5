/**
 * What is asked of single fields of messages, whatever form they came in. Runs on the control
 * thread.
 */

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const HASH = /^[0-9a-f]{16}$/;
const UNDERLAY_LENGTH_MAX = 64;
const SIGNER = /^(?:[0-9a-f]{32})?$/;

export type Fields = Readonly<Record<string, unknown>>;

/** Whether `name` can be a chassis, and so one token of a subject. */
export function isName(name: unknown): name is string {
  return typeof name === "string" && NAME.test(name);
}

/** The id of a key; "" of none. */
export function isSigner(value: unknown): value is string {
  return typeof value === "string" && SIGNER.test(value);
}

export function isUnderlay(value: unknown): value is string {
  return isText(value, UNDERLAY_LENGTH_MAX);
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** null unless it is Base64 (RFC 4648 §4) of at most `sizeMax` bytes. */
export function fromBase64(value: unknown, sizeMax: number): Uint8Array | null {
  if (typeof value !== "string" || value.length > 4 * Math.ceil(sizeMax / 3)) return null;
  const bytes = Uint8Array.from(Buffer.from(value, "base64"));
  return toBase64(bytes) === value ? bytes : null;
}

export function isHash(value: unknown): value is string {
  return typeof value === "string" && HASH.test(value);
}

export function isList(value: unknown, lengthMax: number): value is readonly unknown[] {
  return Array.isArray(value) && value.length <= lengthMax;
}

export function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function isText(value: unknown, lengthMax: number): value is string {
  return typeof value === "string" && value.length <= lengthMax;
}
