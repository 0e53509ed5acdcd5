/**
 * Lets a request in, or says why not: who asks, by which token, and whether the role is enough
 * (RFC 6750). Run by the control thread.
 *
 * Over the UNIX socket everybody who can open it is an admin, and no token is looked at: the file's
 * mode decides. The same holds over TCP where no token is asked for.
 */
import { type Access, includesRole, type Role } from "@rhone/state/access";
import { get } from "@rhone/state/state";
import type { Context } from "hono";
import type { ApiContext } from "./context.ts";
import { FailureLimit } from "./failure-limit.ts";
import type { Need } from "./needs.ts";
import { type ProblemKind, problemResponse } from "./problem.ts";
import { RefusalLog, type RefusedStatus } from "./refusal-log.ts";
import type { Connection } from "./serve.ts";
import { hasHash, tokenName } from "./token.ts";

/** Who asks, as far as is known. */
export interface Caller {
  /** As the audit log names it. */
  readonly who: string;
  readonly role: Role;
  /** An address, or `unix`. */
  readonly from: string;
}

const CALLER = "caller";
const GATE = "gate";
const REALM = 'Bearer realm="rhone"';
/** For a name that has no token: the comparison is made all the same. */
const NO_HASH = "0".repeat(64);
/** Where no token is asked for. No token has this name. */
const NOBODY = "(no token)";

export class Gate {
  readonly refusals = new RefusalLog();
  readonly #context: ApiContext;
  readonly #limit = new FailureLimit();

  constructor(context: ApiContext) {
    this.#context = context;
  }

  /** Where `admit` finds it. */
  attach(c: Context): void {
    c.set(GATE, this);
  }

  /** Resolves when the chassis takes a write. */
  mayWrite(): Promise<void> {
    return this.#context.mayWrite();
  }

  /** The answer for a request that is not let in; undefined for one that is. */
  enter(c: Context, need: Need): Response | undefined {
    const connection = c.env as Connection | undefined;
    if (connection?.via === "unix") {
      c.set(CALLER, { who: `unix:${connection.uid}`, role: "admin", from: "unix" });
      return undefined;
    }
    const from = connection?.address ?? "unknown";
    if (!this.#context.access.isTokenRequired) {
      c.set(CALLER, { who: NOBODY, role: "admin", from });
      return undefined;
    }
    if (need === "none") return undefined;
    return this.#enterByToken(c, need, from);
  }

  /** The 403 for a caller without the role `need`; undefined when it is enough. */
  require(c: Context, need: Role, what: string): Response | undefined {
    const caller = callerOf(c);
    if (includesRole(caller.role, need)) return undefined;
    const { who, role, from } = caller;
    const challenge = `${REALM}, error="insufficient_scope", scope="${need}"`;
    const detail = `${what} needs the role ${need}; the token ${who} has the role ${role}`;
    return this.#refuse(c, 403, { who, from, detail, headers: { "WWW-Authenticate": challenge } });
  }

  #enterByToken(c: Context, need: Role, from: string): Response | undefined {
    const header = c.req.header("authorization");
    if (header === undefined) {
      const detail = "expected a token, as in Authorization: Bearer rhone_…, got none";
      return this.#refuse(c, 401, { who: null, from, detail, headers: challenge() });
    }
    const token = /^Bearer +(\S+) *$/i.exec(header)?.[1] ?? "";
    const found = this.#accessOf(token);
    if (typeof found === "string") return this.#refuseToken(c, from, found);
    c.set(CALLER, { who: found.name, role: found.role, from } satisfies Caller);
    return this.require(c, need, `${c.req.method} ${c.req.path}`);
  }

  /** Whose the token is, or what is wrong with it. Never says more than its holder knows. */
  #accessOf(token: string): Access | string {
    const name = tokenName(token);
    if (name === null) return "expected a token of the form rhone_name_secret, got something else";
    const access = get(this.#context.store.snapshot(), "access", name)?.value;
    const isRight = hasHash(token, access?.hash ?? NO_HASH);
    if (access === undefined || !isRight) return "the token is not known, or was revoked";
    if (Date.parse(access.expires) > this.#context.access.wallClock()) return access;
    return `the token ${name} ended at ${access.expires}`;
  }

  /** Wrong tokens are limited; a right one is let in however many wrong ones came beside it. */
  #refuseToken(c: Context, from: string, detail: string): Response {
    const waitMs = this.#limit.fail(from, performance.now());
    if (waitMs === 0) {
      const headers = challenge(`, error="invalid_token", error_description="${detail}"`);
      return this.#refuse(c, 401, { who: null, from, detail, headers });
    }
    const seconds = Math.ceil(waitMs / 1000);
    const headers = { "Retry-After": String(seconds) };
    const late = `too many wrong tokens from ${from}: wait ${seconds} s before another one`;
    return this.#refuse(c, 429, { who: null, from, detail: late, headers });
  }

  #refuse(c: Context, status: RefusedStatus, refusal: Refusal): Response {
    const { who, from, detail, headers } = refusal;
    const { method, path } = c.req;
    const at = new Date(this.#context.access.wallClock()).toISOString();
    this.refusals.add({ at, who, from, method, path, status });
    this.#context.access.onRefused?.(KINDS[status], from, `${method} ${path}: ${detail}`);
    return problemResponse(KINDS[status], detail, { headers });
  }
}

interface Refusal {
  /** A token's name; null when there was no good one. */
  readonly who: string | null;
  readonly from: string;
  readonly detail: string;
  readonly headers: Readonly<Record<string, string>>;
}

const KINDS = {
  401: "unauthorized",
  403: "forbidden",
  429: "too-many-failures",
} as const satisfies Record<RefusedStatus, ProblemKind>;

function challenge(error = ""): Readonly<Record<string, string>> {
  return { "WWW-Authenticate": REALM + error };
}

export function gateOf(c: Context): Gate {
  return c.get(GATE);
}

/** Of a request that was let in to a route that needs a role. */
export function callerOf(c: Context): Caller {
  return c.get(CALLER);
}
