/**
 * Who may use the REST API over TCP: one document a token. Not its secret, only a hash of that, so
 * that whoever reads the state, its disk or a message about it has no token. Written by the API for
 * an admin, at any chassis. Run by the control thread.
 */
import { z } from "zod";
import { name, remark, text } from "./fields.ts";

/** Each may do what those before it may. */
export const ROLES = ["viewer", "operator", "admin"] as const;
export type Role = (typeof ROLES)[number];

/** Tokens at a time. */
export const ACCESS_MAX = 1024;

/** A point in time as `Date.prototype.toISOString` writes it. */
export const timestamp = text(
  "a time in UTC such as 2030-01-31T12:00:00.000Z",
  (time) => !Number.isNaN(Date.parse(time)) && new Date(time).toISOString() === time,
);

export const accessSchema = z.strictObject({
  kind: z.literal("access"),
  /** Of the token; it is part of it. */
  name,
  role: z.enum(ROLES),
  /** SHA-256 of the whole token. */
  hash: text("64 hexadecimal digits, the SHA-256 of a token", /^[0-9a-f]{64}$/),
  created: timestamp,
  /** Who made it, as the audit log names people. */
  createdBy: remark,
  expires: timestamp,
});

export type AccessDocument = z.infer<typeof accessSchema>;
export type Access = Readonly<AccessDocument>;

export function completeAccess(document: AccessDocument): Access {
  const { kind, name, role, hash, created, createdBy, expires } = document;
  return { kind, name, role, hash, created, createdBy, expires };
}

/** Whether whoever has the role `has` may do what needs the role `needed`. */
export function includesRole(has: Role, needed: Role): boolean {
  return ROLES.indexOf(has) >= ROLES.indexOf(needed);
}
