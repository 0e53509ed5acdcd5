/**
 * The audit log: each write is committed together with an entry that says who made it, so that
 * nothing is acknowledged that is not in the log. `/v1/audit` reads it, of all chassis.
 */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import {
  type Audit,
  type AuditTarget,
  auditName,
  isAuditNameOf,
  METHODS,
  TARGETS_MAX,
} from "@rhone/state/audit";
import type { Result } from "@rhone/state/problem";
import { compareText } from "@rhone/state/record";
import { USER_KINDS } from "@rhone/state/schema";
import { get, type State } from "@rhone/state/state";
import type { Author, Change, Commit } from "@rhone/state/store";
import type { Context } from "hono";
import type { ApiContext, AuditView } from "./context.ts";
import { callerOf, gateOf } from "./gate.ts";
import { problemResponse } from "./problem.ts";
import { addRoute, type Parameter } from "./routes.ts";
import { auditView, refusedView } from "./views.ts";

const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 1000;
/** Kinds whose changes are in the log. */
const AUDITED = [...USER_KINDS, "access"];

/** Commits what a request asks for, with the entry of the log. A change of nothing has none. */
export function transact(
  c: Context,
  context: ApiContext,
  changes: readonly Change[],
  author: Author = "user",
): Result<Commit> {
  const before = context.store.snapshot();
  return context.store.transact(changes, author, ({ revision, entries }) => {
    const targets = entries.map(({ kind, name, value }): AuditTarget => {
      const was = get(before, kind, name) === undefined ? "created" : "updated";
      return { kind, name, change: value === null ? "deleted" : was };
    });
    const { who, from } = callerOf(c);
    const chassis = context.chassisName;
    const sequence = 1 + lastSequence(before, chassis);
    return {
      kind: "audit",
      name: auditName(chassis, sequence),
      ...{ chassis, sequence },
      at: new Date(context.access.wallClock()).toISOString(),
      ...{ who, from },
      method: METHODS.find((method) => method === c.req.method)!,
      path: c.req.path,
      targets: targets.slice(0, TARGETS_MAX),
      targetCount: targets.length,
      revision,
    };
  });
}

function lastSequence({ audits }: State, chassis: string): number {
  return audits.reduce((last, { value }) => {
    return value.chassis === chassis ? Math.max(last, value.sequence) : last;
  }, 0);
}

export function addAudit(app: OpenAPIHono, context: ApiContext): void {
  addRoute(
    app,
    "get",
    "/v1/audit",
    {
      summary: "Who changed what, at every chassis, the newest first",
      query: QUERY,
      answers: { 200: { description: "Entries of the audit log", schema: z.array(auditView) } },
    },
    (c) => {
      const wanted = readQuery(c);
      if (wanted instanceof Response) return wanted;
      return c.json(newest(context.store.snapshot(), wanted) satisfies AuditView[]);
    },
  );
  addRoute(
    app,
    "get",
    "/v1/audit/refused",
    {
      summary: "What this chassis refused since its start for want of a token or a role",
      answers: { 200: { description: "Counts, and the newest ones", schema: refusedView } },
    },
    (c) => c.json(gateOf(c).refusals.view(context.chassisName)),
  );
}

interface Wanted {
  readonly limit: number;
  readonly who: string | undefined;
  readonly kind: string | undefined;
  readonly name: string | undefined;
  /** Milliseconds since 1970. */
  readonly sinceMs: number;
}

const QUERY: readonly Parameter[] = [
  parameter("limit", `Entries at most, 1 to ${LIMIT_MAX}, ${LIMIT_DEFAULT} when left out.`),
  parameter("who", "Only what this one changed: a token's name, or unix:0."),
  parameter("kind", `Only changes of this kind: ${AUDITED.join(", ")}.`),
  parameter("name", "Only changes of what has this name."),
  parameter("since", "Only changes from this time on, such as 2030-01-31T12:00:00Z."),
];

function parameter(name: string, description: string): Parameter {
  return { name, in: "query", required: false, description, schema: { type: "string" } };
}

/** What the query asks for; else the answer that says what is wrong with it. */
function readQuery(c: Context): Wanted | Response {
  const { limit, who, kind, name, since } = c.req.query();
  const wrong = (expected: string, got: string) =>
    problemResponse("invalid-query", `expected ${expected}, got ${got}`);
  const count = limit === undefined ? LIMIT_DEFAULT : Number(limit);
  if (limit === "" || !(Number.isInteger(count) && count >= 1 && count <= LIMIT_MAX)) {
    return wrong(`a limit of 1 to ${LIMIT_MAX}`, limit!);
  }
  if (kind !== undefined && !AUDITED.includes(kind)) {
    return wrong(`a kind of ${AUDITED.join(", ")}`, kind);
  }
  const sinceMs = since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(since);
  if (Number.isNaN(sinceMs)) return wrong("since=2030-01-31T12:00:00Z or another time", since!);
  return { limit: count, who, kind, name, sinceMs };
}

function newest(state: State, { limit, who, kind, name, sinceMs }: Wanted): Audit[] {
  const isMeant = (target: AuditTarget): boolean =>
    (kind ?? target.kind) === target.kind && (name ?? target.name) === target.name;
  return state.audits
    .map(({ value }) => value)
    .filter((entry) => isAuditNameOf(entry.chassis, entry.name))
    .filter((entry) => (who ?? entry.who) === entry.who && Date.parse(entry.at) >= sinceMs)
    .filter((entry) => (kind ?? name) === undefined || entry.targets.some(isMeant))
    .sort(compareNewestFirst)
    .slice(0, limit);
}

function compareNewestFirst(a: Audit, b: Audit): number {
  return compareText(b.at, a.at) || compareText(a.chassis, b.chassis) || b.sequence - a.sequence;
}
