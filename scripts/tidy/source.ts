/**
 * The repository as tidy.test.ts looks at it: files, and for TypeScript a light reading of the
 * code that knows comments, strings, brackets, functions and loops. It is no parser: biome keeps
 * the code in one format, and that is what makes so little enough.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

/** A stretch of a text, `from` included, `to` not. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface FunctionSpan extends Span {
  /** "" for a closure without a name. */
  readonly name: string;
}

export interface SourceFile {
  /** From the root of the repository, with slashes. */
  readonly path: string;
  readonly text: string;
  /** `text` with comments blanked; every offset is the same. */
  readonly code: string;
  /** `code` with the insides of strings, templates and regular expressions blanked as well. */
  readonly bare: string;
}

/** What a rule finds wrong, and where. */
export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

const SKIPPED_FOLDERS = new Set(["node_modules", ".git"]);

/** Paths of all files below `folder` of `root`, relative to `root`, in order. */
export function listFiles(root: string, folder = "."): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (!entry.isDirectory()) return [path];
      return SKIPPED_FOLDERS.has(entry.name) ? [] : listFiles(root, path);
    })
    .sort();
}

export function readSource(root: string, path: string): SourceFile {
  return source(relative(root, join(root, path)), readFileSync(join(root, path), "utf8"));
}

export function source(path: string, text: string): SourceFile {
  return { path, text, ...blank(text) };
}

export function lineAt(text: string, at: number): number {
  return text.slice(0, at).split("\n").length;
}

/** Where the comment, string or regular expression that starts at `at` ends; -1 if none does. */
function literalEnd(text: string, at: number): number {
  const two = text.slice(at, at + 2);
  if (two === "//") return endOf(text, /\n|$/y, at);
  if (two === "/*") return endOf(text, /\*\/|$/y, at + 2);
  if (text[at] === '"') return endOf(text, /"|$/y, at + 1, /\\[\s\S]/y);
  if (text[at] === "'") return endOf(text, /'|$/y, at + 1, /\\[\s\S]/y);
  if (text[at] !== "/") return -1;
  // A slash after a value divides; after anything else it opens a regular expression.
  const before = text.slice(Math.max(0, at - 80), at);
  if (!/(?:^|[=(,:;!&|?{}[+]|\breturn|=>)\s*$/.test(before)) return -1;
  return endOf(text, /\/[a-z]*|$/y, at + 1, /\\.|\[(?:\\.|[^\]\\])*\]/y);
}

/** Where the first match of `closing` from `at` on ends, jumping over matches of `inside`. */
function endOf(text: string, closing: RegExp, at: number, inside?: RegExp): number {
  for (let i = at; i <= text.length; i++) {
    if (inside !== undefined) {
      inside.lastIndex = i;
      if (inside.test(text)) {
        i = inside.lastIndex - 1;
        continue;
      }
    }
    closing.lastIndex = i;
    // A line comment leaves its line break in the code.
    if (closing.test(text)) return text[i] === "\n" ? i : closing.lastIndex;
  }
  return text.length;
}

const blanked = (text: string) => text.replaceAll(/[^\n]/g, " ");

function blank(text: string): { code: string; bare: string } {
  let code = "";
  let bare = "";
  const templates: number[] = []; // Depth of braces inside each open `${`.
  let isInTemplate = false;
  const keep = (piece: string, insides: string) => {
    code += piece;
    bare += insides;
  };
  for (let i = 0; i < text.length; ) {
    const character = text[i]!;
    if (isInTemplate) {
      if (character === "\\") keep(text.slice(i, i + 2), "  ");
      else if (text.startsWith("${", i)) {
        keep("${", "  ");
        templates.push(0);
        isInTemplate = false;
      } else {
        if (character === "`") isInTemplate = false;
        keep(character, character === "\n" || character === "`" ? character : " ");
      }
      i += character === "\\" || (character === "$" && !isInTemplate) ? 2 : 1;
      continue;
    }
    const end = literalEnd(text, i);
    if (end > i) {
      const piece = text.slice(i, end);
      const isComment = piece.startsWith("//") || piece.startsWith("/*");
      const insides = piece[0] + blanked(piece.slice(1, -1)) + piece.at(-1);
      keep(isComment ? blanked(piece) : piece, isComment ? blanked(piece) : insides);
      i = end;
      continue;
    }
    if (character === "`") isInTemplate = true;
    const depth = templates.length - 1;
    if (depth >= 0 && character === "{") templates[depth]!++;
    if (depth >= 0 && character === "}" && templates[depth]!-- === 0) {
      templates.pop();
      isInTemplate = true;
      keep("}", " ");
    } else keep(character, character);
    i++;
  }
  return { code, bare };
}

const CLOSING: Record<string, string> = { "{": "}", "(": ")", "[": "]" };

/** Offset of the bracket that closes the one at `at`. */
export function closingBracket(bare: string, at: number): number {
  const open = bare[at]!;
  const close = CLOSING[open]!;
  let depth = 0;
  for (let i = at; i < bare.length; i++) {
    if (bare[i] === open) depth++;
    else if (bare[i] === close && --depth === 0) return i;
  }
  return bare.length;
}

function openingBracket(bare: string, at: number): number {
  let depth = 0;
  for (let i = at; i >= 0; i--) {
    if (bare[i] === ")") depth++;
    else if (bare[i] === "(" && --depth === 0) return i;
  }
  return 0;
}

const NOT_A_FUNCTION = new Set(["if", "for", "while", "switch", "catch", "with", "await"]);

/** What stands before a body: the parameters' end, perhaps a result type, perhaps an arrow. */
const SIGNATURE_END = /\)\s*(?::\s*(?=\S)[^;{}()=:]*?(?:\{[^{}]*\}[^;{}()=:\n]*)?)?\s*(=>)?\s*$/;

/** Every function with a body in braces, from its name or parameters to the closing brace. */
export function functionsOf(bare: string): FunctionSpan[] {
  const functions: FunctionSpan[] = [];
  for (let at = bare.indexOf("{"); at >= 0; at = bare.indexOf("{", at + 1)) {
    const before = bare.slice(Math.max(0, at - 400), at);
    const to = closingBracket(bare, at) + 1;
    const signature = SIGNATURE_END.exec(before);
    if (signature === null) {
      if (/=>\s*$/.test(before)) functions.push({ name: "", from: at, to });
      continue;
    }
    const from = openingBracket(bare, at - before.length + signature.index);
    const name = /([\w$#]*)\s*(?:<[^()]*>)?\s*$/.exec(
      bare.slice(Math.max(0, from - 200), from),
    )![1]!;
    if (NOT_A_FUNCTION.has(name)) continue;
    functions.push({ name: signature[1] === undefined ? name : closureName(bare, from), from, to });
  }
  return functions;
}

/** `name` in `const name = (…) => {`. */
function closureName(bare: string, parametersAt: number): string {
  const before = bare.slice(Math.max(0, parametersAt - 120), parametersAt);
  return /([\w$#]+)\s*=\s*(?:async\s*)?$/.exec(before)?.[1] ?? "";
}

/** The bodies of all `for`, `while` and `do` loops, and the heads of those that repeat one. */
export function loopsOf(bare: string): Span[] {
  const loops: Span[] = [];
  for (const match of bare.matchAll(/\b(?:for|while|do)\b/g)) {
    let at = match.index + match[0].length;
    if (match[0] !== "do") {
      const headAt = bare.indexOf("(", at);
      if (headAt < 0 || bare.slice(at, headAt).trim().replace("await", "") !== "") continue;
      at = closingBracket(bare, headAt) + 1;
    }
    const bodyAt = at + bare.slice(at).search(/\S/);
    const statementEnd = bare.indexOf(";", bodyAt);
    const to = bare[bodyAt] === "{" ? closingBracket(bare, bodyAt) + 1 : statementEnd + 1;
    loops.push({ from: match.index, to });
  }
  return loops;
}
