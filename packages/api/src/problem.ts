/** Answers that say what was wrong: `application/problem+json` (RFC 9457). */
import type { ErrorCode, Problem, StateError } from "@rhone/state/problem";
import type { ConvergenceView, ProblemView } from "./context.ts";

/** Kinds of problems: the last part of `type`, the status and the title. */
const KINDS = {
  "invalid-json": [400, "The body is not JSON"],
  "invalid-query": [400, "The query is not understood"],
  unauthorized: [401, "A token is needed"],
  forbidden: [403, "The token's role is not enough"],
  "not-found": [404, "There is no such thing"],
  "method-not-allowed": [405, "The method does not fit the resource"],
  conflict: [409, "The change contradicts other documents"],
  "precondition-failed": [412, "The resource is not in the state that the request asks for"],
  "body-too-large": [413, "The body is too large"],
  "unsupported-media-type": [415, "The body has the wrong content type"],
  invalid: [422, "The document is wrong"],
  "too-many-failures": [429, "Too many wrong tokens came from there"],
  internal: [500, "The chassis made a mistake"],
  "not-applied": [504, "The change is kept, but not applied in time"],
  storage: [507, "The change could not be stored"],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type ProblemKind = keyof typeof KINDS;

const KIND_OF_CODE = {
  invalid: "invalid",
  "not-found": "not-found",
  conflict: "conflict",
  storage: "storage",
  unusable: "storage",
} as const satisfies Record<ErrorCode, ProblemKind>;

/** Of more than these only the number is said, in `detail`. */
const ERRORS_MAX = 100;

/** Fields beside those that the kind brings, and headers. */
export interface ProblemExtras {
  readonly errors?: readonly Problem[];
  readonly revision?: number;
  readonly chassis?: ConvergenceView["chassis"];
  readonly headers?: Readonly<Record<string, string>>;
}

export function problemResponse(
  kind: ProblemKind,
  detail: string,
  { errors, revision, chassis, headers }: ProblemExtras = {},
): Response {
  const [status, title] = KINDS[kind];
  const body: ProblemView = { type: `urn:rhone:problem:${kind}`, title, status, detail };
  if (errors !== undefined && errors.length > 0) {
    const first = errors.slice(0, ERRORS_MAX);
    body.errors = first.map(({ pointer, expected, got }) => ({ pointer, expected, got }));
  }
  if (revision !== undefined) body.revision = revision;
  if (chassis !== undefined) body.chassis = chassis;
  const type = { "content-type": "application/problem+json" };
  return new Response(JSON.stringify(body), { status, headers: { ...type, ...headers } });
}

/** What the store refused. */
export function refusal({ code, message, problems }: StateError): Response {
  return problemResponse(KIND_OF_CODE[code], message, { errors: problems });
}

/** The problems of a document that came alone, without the index that the store put in front. */
export function withoutIndex({ code, message, problems }: StateError): StateError {
  return {
    code,
    message: message.replace(/^\/0(?=[/:])(: )?/, ""),
    problems: problems.map((problem) => ({ ...problem, pointer: problem.pointer.slice(2) })),
  };
}
