/** Reading requests: the body, the query of a write, preconditions. */
import { isUtf8 } from "node:buffer";
import type { LiveEntry } from "@rhone/state/record";
import type { Commit } from "@rhone/state/store";
import type { Context } from "hono";
import type { ApiContext, Level } from "./context.ts";
import { problemResponse } from "./problem.ts";
import { LEVELS } from "./views.ts";

export const BODY_SIZE_MAX = 2 ** 20; // bytes
/** The state of the chassis from which on it contains what was written. */
export const REVISION_HEADER = "X-Rhone-Revision";
/** What was written, for `GET /v1/convergence`: the chassis and its transaction. */
export const VERSION_HEADER = "X-Rhone-Version";
/** The chassis whose workers run it. */
export const APPLIED_HEADER = "X-Rhone-Applied";
const TIMEOUT_DEFAULT_MS = 5000;
const TIMEOUT_MAX_MS = 60_000;

/** The body as plain values; else the answer that says why not. */
export async function readJson(c: Context): Promise<{ readonly value: unknown } | Response> {
  const type = c.req.header("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    const got = type === "" ? "none" : type;
    return problemResponse("unsupported-media-type", `expected application/json, got ${got}`);
  }
  const encoding = c.req.header("content-encoding");
  if (encoding !== undefined) {
    const detail = `expected a body without Content-Encoding, got ${encoding}`;
    return problemResponse("unsupported-media-type", detail);
  }
  const bytes = await readBytes(c.req.raw);
  if (bytes === null) {
    const headers = { Connection: "close" }; // The rest of the body is still to come.
    return problemResponse("body-too-large", `expected at most ${BODY_SIZE_MAX} bytes`, {
      headers,
    });
  }
  if (bytes.length === 0) return problemResponse("invalid-json", "expected JSON, got no body");
  if (!isUtf8(bytes)) {
    return problemResponse("invalid-json", "expected JSON in UTF-8, got bytes that are no UTF-8");
  }
  const text = new TextDecoder().decode(bytes);
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const { message } = error as SyntaxError;
    // Of all that it says this alone is without a place.
    const isCut = message === "Unexpected end of JSON input";
    const got = isCut
      ? `only its beginning, ${text.length} characters`
      : `another text: ${message}`;
    return problemResponse("invalid-json", `expected JSON, got ${got}`);
  }
}

/**
 * The body; null as soon as it is too long. Hono's own limit makes a new Request, which fails on
 * Node unless the server replaces the global class.
 */
async function readBytes({ headers, body }: Request): Promise<Uint8Array | null> {
  if (Number(headers.get("content-length")) > BODY_SIZE_MAX) return null;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    if (size > BODY_SIZE_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * What is wrong with a query that may have these parameters, each once; undefined when nothing is.
 */
export function checkQuery(c: Context, known: readonly string[]): Response | undefined {
  for (const [key, values] of Object.entries(c.req.queries())) {
    if (!known.includes(key)) {
      const expected = known.length === 0 ? "no query" : known.join(" or ");
      return problemResponse("invalid-query", `expected ${expected}, got ${key}`);
    }
    if (values.length > 1) {
      const got = values.map((value) => `${key}=${value}`).join(" and ");
      return problemResponse("invalid-query", `expected ${key} once, got ${got}`);
    }
  }
  return undefined;
}

/** How far a write has to be in force before it is answered. */
export interface Wait {
  /** null: it only has to be stored. */
  readonly level: Level | null;
  readonly timeoutMs: number;
}

/** `?wait=applied&timeout=<ms>`; else the answer that says what is wrong with it. */
export function readWait(c: Context, others: readonly string[] = []): Wait | Response {
  const wrong = checkQuery(c, [...others, "wait", "timeout"]);
  if (wrong !== undefined) return wrong;
  const { wait, timeout } = c.req.query();
  const level = LEVELS.find((level) => level === wait);
  if (wait !== undefined && level === undefined) {
    const expected = `expected wait=${LEVELS.join(", wait=")}`;
    return problemResponse("invalid-query", `${expected}, got wait=${wait}`);
  }
  const timeoutMs = timeout === undefined ? TIMEOUT_DEFAULT_MS : Number(timeout);
  if (timeout === "" || !(timeoutMs >= 1 && timeoutMs <= TIMEOUT_MAX_MS)) {
    const expected = `expected a timeout of 1 to ${TIMEOUT_MAX_MS} milliseconds`;
    return problemResponse("invalid-query", `${expected}, got ${timeout}`);
  }
  return { level: level ?? null, timeoutMs };
}

/**
 * Says by headers what was written, and waits as `wait` says. Returns the answer when the time is
 * up, undefined when all is well.
 */
export async function finishWrite(
  c: Context,
  context: ApiContext,
  { revision, entries }: Commit,
  { level, timeoutMs }: Wait,
): Promise<Response | undefined> {
  const { chassisName, store } = context;
  const isNew = entries.length > 0;
  c.header(REVISION_HEADER, String(revision));
  if (isNew) c.header(VERSION_HEADER, `${chassisName}:${revision}`);
  if (level === null) return undefined;
  // What was so already may still be on its way: then everything that is known is waited for.
  const vector = isNew ? { [chassisName]: revision } : store.vector;
  const { reached, chassis } = await context.reach(vector, level, timeoutMs);
  const running = chassis.filter(({ applied }) => applied).map(({ name }) => name);
  c.header(APPLIED_HEADER, running.join(", "));
  if (reached) return undefined;
  const lacking = chassis.filter(({ applied }) => !applied).map(({ name }) => name);
  const detail =
    `the change is kept as revision ${revision}, but after ${timeoutMs} ms it is not in force as ` +
    `wait=${level} asks: ${lacking.join(", ")} has not said that its workers run it; it will be ` +
    "applied without another request";
  const headers = {
    [REVISION_HEADER]: String(revision),
    ...(isNew ? { [VERSION_HEADER]: `${chassisName}:${revision}` } : {}),
    [APPLIED_HEADER]: running.join(", "),
  };
  return problemResponse("not-applied", detail, { revision, chassis, headers });
}

/** The entity tag of an entry: its version (RFC 9110 §8.8.3). */
export function etagOf({ version }: LiveEntry): string {
  return `"${version.clock}-${version.origin}"`;
}

/**
 * The answer when `If-Match` names another state than `entry`, or `If-None-Match` names it (RFC
 * 9110 §13.1.1, §13.1.2): with `*` nothing is replaced.
 */
export function checkPreconditions(c: Context, entry: LiveEntry | undefined): Response | undefined {
  const got = entry === undefined ? "nothing" : etagOf(entry);
  const isNamedIn = (header: string): boolean => {
    const tags = header.split(",").map((tag) => tag.trim());
    return entry !== undefined && (tags.includes("*") || tags.includes(got));
  };
  const wanted = c.req.header("if-match");
  if (wanted !== undefined && !isNamedIn(wanted)) {
    return problemResponse("precondition-failed", `expected ${wanted}, got ${got}`);
  }
  const unwanted = c.req.header("if-none-match");
  if (unwanted !== undefined && isNamedIn(unwanted)) {
    const expected = unwanted.trim() === "*" ? "nothing of this name" : `none of ${unwanted}`;
    return problemResponse("precondition-failed", `expected ${expected}, got ${got}`);
  }
  return undefined;
}
