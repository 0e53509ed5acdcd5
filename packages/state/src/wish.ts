/** What a transaction asks for, as far as it can be said without other documents. */
import { parseDocument } from "./document.ts";
import { type ErrorCode, type Problem, problem, type Result } from "./problem.ts";
import { keyOf } from "./record.ts";
import { checkSanity } from "./sanity.ts";
import { complete, KINDS, type Kind, type Resource, USER_KINDS } from "./schema.ts";
import { type Author, CHANGES_MAX, type Change } from "./store.ts";

/** What one change asks for: a resource, or null to delete. */
export interface Wish {
  readonly pointer: string;
  readonly kind: Kind;
  readonly name: string;
  readonly value: Resource | null;
}

export interface Wishes {
  readonly wishes: readonly Wish[];
  /** When there are any, `code` says of what sort, and nothing is to be done. */
  readonly problems: readonly Problem[];
  readonly code: ErrorCode;
}

/** `exists` says whether there is a document of a key. */
export function readWishes(
  changes: readonly Change[],
  author: Author,
  exists: (key: string) => unknown,
): Wishes {
  const wishes: Wish[] = [];
  const problems: Problem[] = [];
  const missing: Problem[] = [];
  const seen = new Set<string>();
  if (changes.length > CHANGES_MAX) {
    problems.push(problem("", `at most ${CHANGES_MAX} changes at once`, changes.length));
  }
  for (const [index, change] of changes.slice(0, CHANGES_MAX).entries()) {
    const pointer = `/${index}`;
    const wish = wishOf(change, pointer, author === "user" ? USER_KINDS : KINDS);
    if (!wish.ok) {
      problems.push(...wish.error.problems);
      continue;
    }
    const { kind, name, value } = wish.value;
    const key = keyOf(wish.value);
    if (author === "user" && !(USER_KINDS as readonly Kind[]).includes(kind)) {
      problems.push(problem(`${pointer}/kind`, `one of ${USER_KINDS.join(", ")}`, kind));
    }
    if (seen.has(key)) {
      problems.push(problem(`${pointer}/name`, `${kind} ${name} only once in a change`, name));
    }
    seen.add(key);
    if (value === null && !exists(key)) missing.push(problem(pointer, `an existing ${kind}`, name));
    if (value !== null) problems.push(...checkSanity(value, pointer));
    wishes.push(wish.value);
  }
  if (problems.length > 0) return { wishes, problems: [...problems, ...missing], code: "invalid" };
  return { wishes, problems: missing, code: "not-found" };
}

/** A document has to be of one of `kinds`. */
export function wishOf(
  change: Change,
  pointer: string,
  kinds: readonly Kind[] = KINDS,
): Result<Wish> {
  if (change.op === "delete") {
    const { kind, name } = change;
    return { ok: true, value: { pointer, kind, name, value: null } };
  }
  const parsed = parseDocument(change.document, pointer, kinds);
  if (!parsed.ok) return parsed;
  const value = complete(parsed.value);
  return { ok: true, value: { pointer, kind: value.kind, name: value.name, value } };
}
