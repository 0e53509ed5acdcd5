/**
 * From plain JavaScript values of unknown shape (JSON of a request, YAML of a file, a message of a
 * peer) to documents and entries. Run by the control thread.
 */
import { z } from "zod";
import { NAME_PATTERN } from "./fields.ts";
import { failure, type Problem, pointerOf, problem, type Result } from "./problem.ts";
import { type Document, KINDS, type Kind, SCHEMAS } from "./schema.ts";

/** One document of `kinds`. `pointer` is where it stands in what the user sent. */
export function parseDocument(
  value: unknown,
  pointer = "",
  kinds: readonly Kind[] = KINDS,
): Result<Document> {
  if (!isObject(value)) {
    return failure("invalid", [problem(pointer, "an object with kind and name", value)]);
  }
  const { kind } = value;
  if (!isKind(kind) || !kinds.includes(kind)) {
    return failure("invalid", [problem(`${pointer}/kind`, `one of ${kinds.join(", ")}`, kind)]);
  }
  return parseValue<Document>(SCHEMAS[kind], value, pointer);
}

/** Any value that `schema` describes. `pointer` is where it stands in what the user sent. */
export function parseValue<T>(schema: z.ZodType<T>, value: unknown, pointer = ""): Result<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const problems = parsed.error.issues.flatMap((issue) => {
    return problemsOf(issue, schemaAt(schema, issue.path), value, pointer);
  });
  // One number can break several rules, and what was expected of it is one sentence.
  const messages = problems.map(({ message }) => message);
  return failure(
    "invalid",
    problems.filter(({ message }, i) => messages.indexOf(message) === i),
  );
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

/** `schema` is of what the issue is about, undefined where that is not known. */
function problemsOf(
  issue: z.core.$ZodIssue,
  schema: z.core.$ZodType | undefined,
  document: unknown,
  pointer: string,
): Problem[] {
  const at = pointer + pointerOf(issue.path);
  const got = valueAt(document, issue.path);
  const number = schema instanceof z.ZodNumber ? numberText(schema) : undefined;
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) =>
        problem(at + pointerOf([key]), fieldsText(schema), valueAt(got, [key])),
      );
    case "invalid_type": {
      const type = ARTICLES[issue.expected] ?? issue.expected;
      return [problem(at, number ?? describedText(schema) ?? type, got)];
    }
    case "invalid_value":
      return [problem(at, `one of ${issue.values.map(String).join(", ")}`, got)];
    case "invalid_union":
      return [problem(at, unionText(schema, issue), got)];
    case "too_big":
      return [problem(at, number ?? `at most ${amountText(issue.origin, issue.maximum)}`, got)];
    case "too_small":
      return [problem(at, number ?? `at least ${amountText(issue.origin, issue.minimum)}`, got)];
    case "custom":
      return [problem(at, String(issue.params?.["expected"]), got)];
    default:
      return [problem(at, issue.message, got)];
  }
}

/** The part of a schema that says what may stand at `path`. */
function schemaAt(
  schema: z.core.$ZodType,
  path: readonly PropertyKey[],
): z.core.$ZodType | undefined {
  return path.reduce<z.core.$ZodType | undefined>((at, key) => {
    if (at instanceof z.ZodObject) return inner(at.shape[key as string]);
    if (at instanceof z.ZodArray) return inner(at.element);
    return undefined;
  }, inner(schema));
}

/** Without what makes a field optional. */
function inner(schema: z.core.$ZodType | undefined): z.core.$ZodType | undefined {
  return schema instanceof z.ZodExactOptional ? inner(schema.unwrap()) : schema;
}

function fieldsText(schema: z.core.$ZodType | undefined): string {
  if (!(schema instanceof z.ZodObject)) return "no such field";
  return `one of the fields ${Object.keys(schema.shape).join(", ")}`;
}

function numberText({ minValue, maxValue, format }: z.ZodNumber): string {
  return `a ${format === "safeint" ? "whole number" : "number"} from ${minValue} to ${maxValue}`;
}

/** What a text has to be like. */
function describedText(schema: z.core.$ZodType | undefined): string | undefined {
  return schema instanceof z.ZodString ? schema.description : undefined;
}

function unionText(schema: z.core.$ZodType | undefined, { message }: z.core.$ZodIssue): string {
  return (schema instanceof z.ZodUnion ? schema.description : undefined) ?? message;
}

function amountText(origin: string, amount: number | bigint): string {
  const unit = UNITS[origin];
  return unit === undefined ? `${amount}` : `${amount} ${unit}${amount === 1 ? "" : "s"}`;
}

const ARTICLES: Readonly<Record<string, string>> = {
  string: "a text",
  array: "a list",
  object: "an object",
  record: "an object",
  boolean: "true or false",
  number: "a number",
};

const UNITS: Readonly<Record<string, string>> = { array: "item", string: "character" };

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined),
    value,
  );
}
