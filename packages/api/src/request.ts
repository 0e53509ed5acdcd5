/** Reading requests: the body, the query of a write, preconditions. */
import type { LiveEntry } from "@rhone/state/record";
import type { Context } from "hono";
import type { ApiContext } from "./context.ts";
import { problemResponse } from "./problem.ts";

export const BODY_SIZE_MAX = 2 ** 20; // bytes
export const REVISION_HEADER = "X-Rhone-Revision";
const TIMEOUT_DEFAULT_MS = 5000;
const TIMEOUT_MAX_MS = 60_000;

/** The body as plain values; else the answer that says why not. */
export async function readJson(c: Context): Promise<{ readonly value: unknown } | Response> {
  const type = c.req.header("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    const got = type === "" ? "none" : type;
    return problemResponse("unsupported-media-type", `expected application/json, got ${got}`);
  }
  const text = await readText(c.req.raw);
  if (text === null) {
    const headers = { Connection: "close" }; // The rest of the body is still to come.
    return problemResponse("body-too-large", `expected at most ${BODY_SIZE_MAX} bytes`, {
      headers,
    });
  }
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return problemResponse("invalid-json", (error as SyntaxError).message);
  }
}

/**
 * The body; null as soon as it is too long. Hono's own limit makes a new Request, which fails on
 * Node unless the server replaces the global class.
 */
async function readText({ headers, body }: Request): Promise<string | null> {
  if (Number(headers.get("content-length")) > BODY_SIZE_MAX) return null;
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    if (size > BODY_SIZE_MAX) return null;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** Whether the client wants to wait until a write is in force. */
export interface Wait {
  /** 0: does not wait. */
  readonly timeoutMs: number;
}

/** `?wait=applied&timeout=<ms>`; else the answer that says what is wrong with it. */
export function readWait(c: Context): Wait | Response {
  const { wait, timeout, ...unknown } = c.req.query();
  const [other] = Object.keys(unknown);
  if (other !== undefined) {
    return problemResponse("invalid-query", `expected wait or timeout, got ${other}`);
  }
  if (wait !== undefined && wait !== "applied") {
    return problemResponse("invalid-query", `expected wait=applied, got wait=${wait}`);
  }
  const timeoutMs = timeout === undefined ? TIMEOUT_DEFAULT_MS : Number(timeout);
  if (timeout === "" || !(timeoutMs >= 1 && timeoutMs <= TIMEOUT_MAX_MS)) {
    const expected = `expected a timeout of 1 to ${TIMEOUT_MAX_MS} milliseconds`;
    return problemResponse("invalid-query", `${expected}, got ${timeout}`);
  }
  return { timeoutMs: wait === undefined ? 0 : timeoutMs };
}

/** Waits as `wait` says. Returns the answer when the time is up, undefined when all is well. */
export async function waitApplied(
  context: ApiContext,
  revision: number,
  { timeoutMs }: Wait,
): Promise<Response | undefined> {
  if (timeoutMs === 0 || (await context.waitApplied(revision, timeoutMs))) return undefined;
  const detail =
    `the change is kept as revision ${revision}, but after ${timeoutMs} ms not every worker of ` +
    `chassis ${context.chassisName} runs it; it will be applied without another request`;
  const headers = { [REVISION_HEADER]: String(revision) };
  return problemResponse("not-applied", detail, { revision, headers });
}

/** The entity tag of an entry: its version (RFC 9110 §8.8.3). */
export function etagOf({ version }: LiveEntry): string {
  return `"${version.clock}-${version.origin}"`;
}

/** The answer when `If-Match` names another state than `entry` (RFC 9110 §13.1.1). */
export function checkIfMatch(c: Context, entry: LiveEntry | undefined): Response | undefined {
  const wanted = c.req.header("if-match");
  if (wanted === undefined) return undefined;
  const got = entry === undefined ? "nothing" : etagOf(entry);
  const tags = wanted.split(",").map((tag) => tag.trim());
  if (entry !== undefined && (wanted.trim() === "*" || tags.includes(got))) return undefined;
  return problemResponse("precondition-failed", `expected ${wanted}, got ${got}`);
}
