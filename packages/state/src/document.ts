/**
 * From plain JavaScript values of unknown shape (JSON of a request, YAML of a file, a message of a
 * peer) to documents and entries. Run by the control thread.
 */
import type { z } from "zod";
import { NAME_PATTERN } from "./fields.ts";
import { failure, type Problem, pointerOf, problem, type Result } from "./problem.ts";
import { type Document, KINDS, type Kind, SCHEMAS } from "./schema.ts";

/** One document. `pointer` is where it stands in what the user sent. */
export function parseDocument(value: unknown, pointer = ""): Result<Document> {
  if (!isObject(value)) {
    return failure("invalid", [problem(pointer, "an object with kind and name", value)]);
  }
  if (!isKind(value["kind"])) {
    const expected = `one of ${KINDS.join(", ")}`;
    return failure("invalid", [problem(`${pointer}/kind`, expected, value["kind"])]);
  }
  return parseValue<Document>(SCHEMAS[value["kind"]], value, pointer);
}

/** Any value that `schema` describes. `pointer` is where it stands in what the user sent. */
export function parseValue<T>(schema: z.ZodType<T>, value: unknown, pointer = ""): Result<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const problems = parsed.error.issues.flatMap((issue) => problemsOf(issue, value, pointer));
  return failure("invalid", problems);
}

/** All documents, or every problem of all of them; pointers start with the document's index. */
export function parseDocuments(values: readonly unknown[]): Result<Document[]> {
  const documents: Document[] = [];
  const problems: Problem[] = [];
  for (const [index, value] of values.entries()) {
    const parsed = parseDocument(value, `/${index}`);
    if (parsed.ok) documents.push(parsed.value);
    else problems.push(...parsed.error.problems);
  }
  return problems.length === 0 ? { ok: true, value: documents } : failure("invalid", problems);
}

export function isKind(value: unknown): value is Kind {
  return (KINDS as readonly unknown[]).includes(value);
}

export function isName(value: unknown): value is string {
  return typeof value === "string" && NAME_PATTERN.test(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function problemsOf(issue: z.core.$ZodIssue, document: unknown, pointer: string): Problem[] {
  const at = pointer + pointerOf(issue.path);
  const got = valueAt(document, issue.path);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) =>
        problem(at + pointerOf([key]), "no such field", valueAt(got, [key])),
      );
    case "invalid_type":
      return [problem(at, ARTICLES[issue.expected] ?? issue.expected, got)];
    case "invalid_value":
      return [problem(at, `one of ${issue.values.map(String).join(", ")}`, got)];
    case "too_big":
      return [problem(at, `at most ${issue.maximum}${UNITS[issue.origin] ?? ""}`, got)];
    case "too_small":
      return [problem(at, `at least ${issue.minimum}${UNITS[issue.origin] ?? ""}`, got)];
    case "custom":
      return [problem(at, String(issue.params?.["expected"]), got)];
    default:
      return [problem(at, issue.message, got)];
  }
}

const ARTICLES: Readonly<Record<string, string>> = {
  string: "a text",
  array: "a list",
  object: "an object",
  boolean: "true or false",
  int: "a whole number",
  number: "a number",
};

const UNITS: Readonly<Record<string, string>> = { array: " items", string: " characters" };

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined),
    value,
  );
}
