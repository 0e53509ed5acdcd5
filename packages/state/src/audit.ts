/**
 * The audit log: who changed what, an entry in the same transaction as the change. Each chassis
 * writes its own entries and no others, in a ring of names: the newest entry takes the name of the
 * oldest. Run by the control thread.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { timestamp } from "./access.ts";
import { name, remark } from "./fields.ts";

/** Entries that are kept of each chassis. */
export const AUDIT_MAX = 1000;
/** Resources that an entry names; of more changed at once it says how many. */
export const TARGETS_MAX = 100;

export const METHODS = ["PUT", "POST", "DELETE"] as const;

export const auditSchema = z.strictObject({
  kind: z.literal("audit"),
  /** `auditName` of the chassis and the sequence. */
  name,
  /** Where the change was made. */
  chassis: name,
  /** Counts the entries of the chassis, from 1. */
  sequence: z.int().min(1),
  at: timestamp,
  /** A token's name, `unix:` and a user id, or `(no token)` where none is asked for. */
  who: remark,
  /** The address that the request came from, or `unix`. */
  from: remark,
  method: z.enum(METHODS),
  path: remark,
  targets: z
    .array(
      z.strictObject({
        kind: z.string().max(32),
        name,
        change: z.enum(["created", "updated", "deleted"]),
      }),
    )
    .max(TARGETS_MAX),
  /** Changed resources, also those that `targets` has no room for. */
  targetCount: z.int().min(1),
  /** From which on the state contains the change. */
  revision: z.int().min(1),
});

export type AuditDocument = z.infer<typeof auditSchema>;
export type Audit = Readonly<AuditDocument>;
export type AuditTarget = AuditDocument["targets"][number];

export function completeAudit(document: AuditDocument): Audit {
  const { kind, name, chassis, sequence, at, who, from, method, path } = document;
  const { targets, targetCount, revision } = document;
  const made = { chassis, sequence, at, who, from, method, path };
  const changed = targets.map(({ kind, name, change }) => ({ kind, name, change }));
  return { kind, name, ...made, targets: changed, targetCount, revision };
}

/**
 * The place of an entry in the ring of its chassis. The chassis' name may be as long as a name can
 * be, so it goes in as a hash.
 */
export function auditName(chassis: string, sequence: number): string {
  return `${sequence % AUDIT_MAX}-${ringOf(chassis)}`;
}

/** Whether `name` is a place in the ring of `chassis`: nobody else may write there. */
export function isAuditNameOf(chassis: string, name: string): boolean {
  return name.slice(name.indexOf("-") + 1) === ringOf(chassis);
}

function ringOf(chassis: string): string {
  return createHash("sha256").update(chassis).digest("hex").slice(0, 24);
}
