/**
 * Tokens for the REST API: `rhone_<name>_<secret>`. The prefix lets scanners find one that was
 * published by mistake, the name says which to revoke. Run by the control thread.
 *
 * The secret is 256 random bits, so one SHA-256 keeps it: slow hashes protect what people can
 * remember and others can guess, and would make every request slow here for nothing.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

const SECRET_SIZE = 32; // bytes
const PATTERN = /^rhone_([a-z0-9][a-z0-9-]{0,62})_[\w-]{43}$/;

export interface NewToken {
  /** To be shown once, and kept nowhere. */
  readonly token: string;
  readonly hash: string;
}

export function mintToken(name: string): NewToken {
  const token = `rhone_${name}_${randomBytes(SECRET_SIZE).toString("base64url")}`;
  return { token, hash: hashOf(token) };
}

/** The name in a token; null when it is none. */
export function tokenName(token: string): string | null {
  return PATTERN.exec(token)?.[1] ?? null;
}

/** Whether `hash` is the token's. Takes as long for a wrong one as for the right one. */
export function hasHash(token: string, hash: string): boolean {
  return timingSafeEqual(Buffer.from(hashOf(token), "hex"), Buffer.from(hash, "hex"));
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
