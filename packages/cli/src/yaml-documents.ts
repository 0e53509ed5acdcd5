/** YAML files of several documents, with the line of everything in them. */
import { readFileSync } from "node:fs";
import type { Problem } from "@rhone/state/problem";
import { isMap, isScalar, isSeq, LineCounter, type ParsedNode, parseAllDocuments } from "yaml";
import { UserError } from "./user-error.ts";

const STANDARD_INPUT = 0;

export interface YamlDocument {
  readonly value: unknown;
  /** Position in the file, from 1. */
  readonly number: number;
  /** "router router1", as far as the document says. */
  readonly title: string;
  /** The line of what a JSON Pointer names, or of the nearest thing around it that exists. */
  readonly lineOf: (pointer: string) => number;
}

/** Reads a file, "-" for standard input. Throws UserError when it cannot be read or is not YAML. */
export function readYamlFile(path: string): YamlDocument[] {
  return parseYaml(readText(path), path);
}

export function parseYaml(text: string, path: string): YamlDocument[] {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const documents = Array.isArray(parsed) ? parsed : []; // An empty file has a type of its own.
  const mistakes = documents.flatMap(({ errors }, index) =>
    errors.map(({ pos: [at], message }) => {
      return `${path}:${lines.linePos(at).line}: document ${index + 1}: ${message}`;
    }),
  );
  if (mistakes.length > 0) throw new UserError(mistakes.join("\n"));
  return documents
    .map((document, index) => {
      const value: unknown = document.toJS();
      return {
        value,
        number: index + 1,
        title: titleOf(value),
        lineOf: (pointer: string) =>
          lines.linePos(offsetOf(document.contents, keysOf(pointer)) ?? document.range[0]).line,
      };
    })
    .filter(({ value }) => value !== null); // A separator at an end makes an empty document.
}

/** One line for a problem: file, line, document, field, expected and got. */
export function locateProblem(
  path: string,
  document: YamlDocument,
  pointer: string,
  { expected, got }: Pick<Problem, "expected" | "got">,
): string {
  const field = pointer === "" ? "" : `, field ${keysOf(pointer).join(".")}`;
  const where = `${path}:${document.lineOf(pointer)}: document ${document.number}`;
  return `${where} (${document.title})${field}: expected ${expected}, got ${got}`;
}

/** Splits `/2/ports/0` into 2 and `/ports/0`; null when it does not start with a number. */
export function splitPointer(pointer: string): { index: number; rest: string } | null {
  const match = /^\/(\d+)(\/.*)?$/.exec(pointer);
  return match === null ? null : { index: Number(match[1]), rest: match[2] ?? "" };
}

function readText(path: string): string {
  try {
    return readFileSync(path === "-" ? STANDARD_INPUT : path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const got = code === "ENOENT" ? "no such file" : (error as Error).message;
    throw new UserError(`${path}: expected a readable YAML file, got ${got}`);
  }
}

function titleOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return "no mapping";
  const { kind, name } = value as { kind?: unknown; name?: unknown };
  const words = [kind, name].filter((word) => typeof word === "string");
  return words.length === 0 ? "without kind" : words.join(" ");
}

function keysOf(pointer: string): string[] {
  const keys = pointer.split("/").slice(1);
  return keys.map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function offsetOf(root: ParsedNode | null, keys: readonly string[]): number | undefined {
  let node: ParsedNode | null | undefined = root;
  let offset = root?.range[0];
  for (const key of keys) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
      if (pair === undefined) return offset;
      offset = (pair.key as ParsedNode).range[0];
      node = pair.value as ParsedNode | null;
    } else if (isSeq(node)) {
      node = node.items[Number(key)] as ParsedNode | undefined;
      offset = node?.range[0] ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}
