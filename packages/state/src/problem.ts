/** What a part of the control plane answers instead of throwing: a value, or what is wrong. */

/** One thing that is wrong with what came in. */
export interface Problem {
  /** JSON Pointer (RFC 6901) into what came in: `/0/ports/1/switch`; "" is the whole of it. */
  readonly pointer: string;
  readonly expected: string;
  /** What came instead, as JSON text, cut when it is long. */
  readonly got: string;
  /** The same as one sentence for a human. */
  readonly message: string;
}

/**
 * Why nothing was changed:
 *
 *   invalid    a document is wrong in itself, or the author may not write its kind
 *   not-found  what is to be deleted does not exist
 *   conflict   a document contradicts other documents
 *   storage    the disk did not take it; the same change may succeed later
 *   unusable   a database file cannot be worked with
 */
export type ErrorCode = "invalid" | "not-found" | "conflict" | "storage" | "unusable";

export interface StateError {
  readonly code: ErrorCode;
  readonly message: string;
  /** All that was found, not only the first. Empty when the fault is not in the input. */
  readonly problems: readonly Problem[];
}

export type Result<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: StateError };

const GOT_LENGTH_MAX = 100;

/** A problem; `got` is whatever came, `undefined` when nothing did. */
export function problem(pointer: string, expected: string, got: unknown): Problem {
  const text = textOf(got);
  const where = pointer === "" ? "" : `${pointer}: `;
  return { pointer, expected, got: text, message: `${where}expected ${expected}, got ${text}` };
}

/** A failure from its problems; the message is the first one's and how many more there are. */
export function failure(
  code: ErrorCode,
  problems: readonly Problem[],
): { readonly ok: false; readonly error: StateError } {
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
  return {
    ok: false,
    error: { code, message: `${problems[0]?.message ?? code}${more}`, problems },
  };
}

/** A path of keys as a JSON Pointer. */
export function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((key) => "/" + String(key).replaceAll("~", "~0").replaceAll("/", "~1")).join("");
}

function textOf(got: unknown): string {
  // JSON has no infinity: it would say null.
  const json = typeof got === "number" ? String(got) : JSON.stringify(got);
  const text = got === undefined ? "nothing" : (json ?? String(got));
  return text.length <= GOT_LENGTH_MAX ? text : text.slice(0, GOT_LENGTH_MAX - 1) + "…";
}
