/**
 * The store without its disk: transactions, merging, listeners. What keeps the entries is handed
 * in, so that every kind of store behaves the same. Run by the control thread.
 */
import { parseDocument, parseEntry } from "./document.ts";
import { type ErrorCode, failure, type Problem, problem, type Result } from "./problem.ts";
import { CLOCK_MAX, compareText, type Entry, keyOf, merge, type Version } from "./record.ts";
import { checkSanity } from "./sanity.ts";
import { complete, type Document, type Kind, type Resource, USER_KINDS } from "./schema.ts";
import { EMPTY_STATE, type State, withEntries } from "./state.ts";
import {
  type Author,
  CHANGES_MAX,
  type Change,
  type Commit,
  type Companion,
  type Listener,
  type Store,
} from "./store.ts";
import { type Proposal, validate } from "./validate.ts";

/** Where entries survive a restart. */
export interface Disk {
  /** Keeps all of `entries` or none; throws when it cannot. At most one entry a name. */
  write(entries: readonly Entry[]): void;
  close(): void;
}

/** What one change asks for: a resource, or null to delete. */
interface Wish {
  readonly pointer: string;
  readonly kind: Kind;
  readonly name: string;
  readonly value: Resource | null;
}

export class Replica implements Store {
  readonly #origin: string;
  readonly #disk: Disk;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<Listener>();
  readonly #news: Parameters<Listener>[] = [];
  #state: State = EMPTY_STATE;
  #isTelling = false;
  /**
   * Entries of peers that the disk did not take: in force here, durable only where they came from.
   */
  #unwritten: readonly Entry[] = [];
  #storageError: string | null = null;

  /** `origin` is the name of the chassis, `entries` what its disk holds. */
  constructor(origin: string, disk: Disk, entries: readonly Entry[]) {
    this.#origin = origin;
    this.#disk = disk;
    this.#adopt(entries);
  }

  snapshot(): State {
    return this.#state;
  }

  get revision(): number {
    return this.#state.revision;
  }

  get storageError(): string | null {
    return this.#storageError;
  }

  transact(changes: readonly Change[], author: Author, companion?: Companion): Result<Commit> {
    const { wishes, problems, code } = this.#read(changes, author);
    if (problems.length > 0) return failure(code, problems);
    const version = { clock: this.revision + 1, origin: this.#origin };
    const proposals = wishes.flatMap((wish) => this.#propose(wish, version));
    if (proposals.length === 0)
      return { ok: true, value: { revision: this.revision, entries: [] } };
    const conflicts = validate(this.#state, proposals);
    if (conflicts.length > 0) return failure("conflict", conflicts);
    const asked = proposals.map(({ entry }) => entry);
    const extra = companion?.({ revision: version.clock, entries: asked });
    const entries = extra === undefined ? asked : [...asked, ...this.#accompany(extra, version)];
    if (version.clock > CLOCK_MAX) return storageFailure(`the clock ended at ${CLOCK_MAX}`);
    if (!this.#write(entries)) return storageFailure(this.#storageError!);
    this.#adopt(entries);
    this.#tell(entries, "local");
    return { ok: true, value: { revision: version.clock, entries } };
  }

  merge(entries: readonly Entry[]): number {
    const news = new Map<string, Entry>();
    for (const claimed of entries) {
      const entry = parseEntry(claimed);
      if (entry === null) continue;
      const key = keyOf(entry);
      const known = news.get(key) ?? this.#entries.get(key);
      const merged = known === undefined ? entry : merge(known, entry);
      if (merged !== known) news.set(key, merged);
    }
    if (news.size === 0) return 0;
    const accepted = [...news.values()];
    if (!this.#write(accepted)) this.#unwritten = latest([...this.#unwritten, ...accepted]);
    this.#adopt(accepted);
    this.#tell(accepted, "peer");
    return accepted.length;
  }

  entries(): readonly Entry[] {
    return [...this.#entries.values()].sort(
      (a, b) => compareText(a.kind, b.kind) || compareText(a.name, b.name),
    );
  }

  onChange(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#listeners.clear();
    this.#disk.close();
  }

  /** Everything that can be said of the changes without looking at other documents. */
  #read(
    changes: readonly Change[],
    author: Author,
  ): { wishes: Wish[]; problems: Problem[]; code: ErrorCode } {
    const wishes: Wish[] = [];
    const problems: Problem[] = [];
    const missing: Problem[] = [];
    const seen = new Set<string>();
    if (changes.length > CHANGES_MAX) {
      problems.push(problem("", `at most ${CHANGES_MAX} changes at once`, changes.length));
    }
    for (const [index, change] of changes.slice(0, CHANGES_MAX).entries()) {
      const pointer = `/${index}`;
      const wish = readChange(change, pointer);
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
      const isKnown = (this.#entries.get(key)?.value ?? null) !== null;
      if (value === null && !isKnown) missing.push(problem(pointer, `an existing ${kind}`, name));
      if (value !== null) problems.push(...checkSanity(value, pointer));
      wishes.push(wish.value);
    }
    if (problems.length > 0)
      return { wishes, problems: [...problems, ...missing], code: "invalid" };
    return { wishes, problems: missing, code: "not-found" };
  }

  /** The entry that fulfils the wish; nothing when it is fulfilled already. */
  #propose({ pointer, kind, name, value }: Wish, version: Version): Proposal[] {
    const known = this.#entries.get(keyOf({ kind, name }));
    if (known !== undefined && JSON.stringify(known.value) === JSON.stringify(value)) return [];
    const created = known?.created ?? version;
    return [{ pointer, entry: { kind, name, created, version, value } }];
  }

  #accompany(document: Document, version: Version): Entry[] {
    const wish = readChange({ op: "put", document }, "");
    if (!wish.ok) throw new Error(`companion of a transaction: ${wish.error.message}`);
    return this.#propose(wish.value, version).map(({ entry }) => entry);
  }

  /** True when the disk holds `entries` and everything that it refused before. */
  #write(entries: readonly Entry[]): boolean {
    try {
      this.#disk.write(latest([...this.#unwritten, ...entries]));
    } catch (error) {
      this.#storageError = error instanceof Error ? error.message : String(error);
      return false;
    }
    this.#unwritten = [];
    this.#storageError = null;
    return true;
  }

  #adopt(entries: readonly Entry[]): void {
    let revision = this.#state.revision;
    for (const entry of entries) {
      this.#entries.set(keyOf(entry), entry);
      revision = Math.max(revision, entry.version.clock);
    }
    this.#state = withEntries(this.#state, revision, entries);
  }

  /** In the order of the commits, also when a listener commits something itself. */
  #tell(entries: readonly Entry[], source: "local" | "peer"): void {
    this.#news.push([entries, source]);
    if (this.#isTelling) return;
    this.#isTelling = true;
    try {
      for (let news = this.#news.shift(); news !== undefined; news = this.#news.shift()) {
        for (const listener of [...this.#listeners]) listener(...news);
      }
    } finally {
      this.#isTelling = false;
    }
  }
}

function readChange(change: Change, pointer: string): Result<Wish> {
  if (change.op === "delete") {
    const { kind, name } = change;
    return { ok: true, value: { pointer, kind, name, value: null } };
  }
  const parsed = parseDocument(change.document, pointer);
  if (!parsed.ok) return parsed;
  const value = complete(parsed.value);
  return { ok: true, value: { pointer, kind: value.kind, name: value.name, value } };
}

function storageFailure(message: string): ReturnType<typeof failure> {
  return { ok: false, error: { code: "storage", message, problems: [] } };
}

/** One entry a name: the later in the list replaces the earlier. */
function latest(entries: readonly Entry[]): readonly Entry[] {
  return [...new Map(entries.map((entry) => [keyOf(entry), entry])).values()];
}
