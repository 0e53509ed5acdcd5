/**
 * What the writes about one name amount to, and which of them still say something. Run by the
 * control thread.
 *
 * `settle` makes of the writes a join semilattice: settling the union of two settled lists gives
 * the same as settling all writes at once, in any order, any number of times. The rules:
 *
 *   - The latest put begins the document's life. Sets belong to the life of the put that they name.
 *   - In a register, the latest set of that life wins; a put is a set of all registers.
 *   - A delete ends every life that began before it, also what was set in it at the same time.
 *   - But a rule that drops or rejects packets ends only when whoever deleted it had seen it: what
 *     closes a door is not removed by somebody who does not know of it.
 */
import { parseDocument } from "./document.ts";
import { compareVersions, type Entry, type Version } from "./record.ts";
import { documentOf, knownFields, registersOf } from "./registers.ts";
import { complete, KINDS, type Kind, type Resource } from "./schema.ts";
import { compareWrites, latestOf, type Write } from "./write.ts";

export interface Settled {
  /** Those that say something that no other says. */
  readonly writes: readonly Write[];
  /** null when nothing here can read it: a later version's kind or fields, or sets without put. */
  readonly entry: Entry | null;
  /** That began the life which goes on. */
  readonly put: Write | null;
  /** Whether a change could not be read here, or does not fit to what others changed. */
  readonly isPartial: boolean;
}

/** All of `writes` are about the same name of the same kind; at least one. */
export function settle(writes: readonly Write[]): Settled {
  const { kind } = writes[0]!;
  const put = latestOf(writes.filter(({ op }) => op === "put"));
  const deletes = writes.filter(({ op }) => op === "delete");
  const death = latestOf(deletes);
  const best = farthestSeeing(deletes);
  const isClosing = put !== undefined && isDeny(put);
  const isUnseen =
    put !== undefined && (best === undefined || compareVersions(put, best.about!) > 0);
  const isAfter = put !== undefined && (death === undefined || compareWrites(put, death) > 0);
  const isAlive = isAfter || (isClosing && isUnseen);
  const kept = new Set<Write>([latestOf(writes)!]);
  if (!isAfter && death !== undefined)
    kept.add(death).add(kind === "acl" && !isUnseen ? best! : death);
  // A rule that is dead now keeps its place: a rule before it must not come back in its stead.
  if (put !== undefined && (isAlive || (kind === "acl" && isUnseen))) kept.add(put);
  const sets = isAlive ? winners(writes, put!) : [];
  for (const set of sets) kept.add(set);
  for (const write of writes) if (isAhead(write, put, death)) kept.add(write);
  const result = { writes: [...kept].sort(compareWrites), put: isAlive ? put! : null };
  if (isAlive) return { ...result, ...read(put!, sets) };
  if (death === undefined) return { ...result, entry: null, isPartial: true };
  const { name, clock, origin } = death;
  const version = { clock, origin };
  const isKnown = (KINDS as readonly string[]).includes(kind);
  const entry = isKnown
    ? { kind: kind as Kind, name, created: version, version, value: null }
    : null;
  return { ...result, entry, isPartial: false };
}

/** Whether `value` says all that `settled` does: nothing of a later version is left out of it. */
export function isWhole({ put, writes }: Settled, value: Resource): boolean {
  if (put === null) return true;
  const registers = new Map(registersOf(value.kind, put.content!));
  for (const { content } of winners(writes, put)) {
    for (const [register, set] of Object.entries(content!)) registers.set(register, set);
  }
  const understood = registersOf(value.kind, { ...value });
  return [...registers].every(([register, set]) => set === null || understood.has(register));
}

/** Of the deletes the one that had seen most; the later of two that had seen the same. */
function farthestSeeing(deletes: readonly Write[]): Write | undefined {
  let best: Write | undefined;
  for (const write of deletes) {
    const order = best === undefined ? 1 : compareVersions(write.about!, best.about!);
    if (best === undefined || order > 0 || (order === 0 && compareWrites(write, best) > 0)) {
      best = write;
    }
  }
  return best;
}

function isDeny({ kind, content }: Write): boolean {
  return kind === "acl" && (content?.["action"] === "drop" || content?.["action"] === "reject");
}

/** A set whose put is still to come. */
function isAhead({ op, about }: Write, put: Write | undefined, death: Write | undefined): boolean {
  if (op !== "set") return false;
  const isAfter = (other: Write | undefined): boolean =>
    other === undefined || compareVersions(about!, other) > 0;
  return isAfter(put) && isAfter(death);
}

/** The sets of the life that `put` began which are the latest of some register, in their order. */
function winners(writes: readonly Write[], put: Write): Write[] {
  const latest = new Map<string, Write>();
  for (const write of writes) {
    if (write.op !== "set" || compareVersions(write.about!, put) !== 0) continue;
    for (const register of Object.keys(write.content!)) {
      const known = latest.get(register);
      if (known === undefined || compareWrites(write, known) > 0) latest.set(register, write);
    }
  }
  return [...new Set(latest.values())].sort(compareWrites);
}

function read(put: Write, sets: readonly Write[]): Pick<Settled, "entry" | "isPartial"> {
  const { kind } = put;
  if (!(KINDS as readonly string[]).includes(kind)) return { entry: null, isPartial: true };
  const known = kind as Kind;
  const whole = merged(known, put, sets);
  if (whole !== undefined) return { entry: entryOf(known, put, sets, whole), isPartial: false };
  // What does not fit is left out, the earliest changes first in force: the same everywhere.
  const fitting: Write[] = [];
  for (const set of sets) {
    if (merged(known, put, [...fitting, set]) !== undefined) fitting.push(set);
  }
  const value = merged(known, put, fitting);
  if (value === undefined) return { entry: null, isPartial: true };
  return { entry: entryOf(known, put, sets, value), isPartial: true };
}

function entryOf(kind: Kind, put: Write, sets: readonly Write[], value: Resource): Entry {
  const version = versionOf(sets.at(-1) ?? put);
  return { kind, name: put.name, created: put.about ?? versionOf(put), version, value };
}

function merged(kind: Kind, put: Write, sets: readonly Write[]): Resource | undefined {
  const document = { ...knownFields(kind, put.content!), kind, name: put.name };
  if (sets.length === 0) return readResource(document);
  const registers = new Map(registersOf(kind, document));
  for (const { content } of sets) {
    for (const [register, value] of Object.entries(content!)) registers.set(register, value);
  }
  return readResource(knownFields(kind, documentOf(kind, put.name, registers)));
}

function readResource(document: unknown): Resource | undefined {
  const parsed = parseDocument(document);
  return parsed.ok ? complete(parsed.value) : undefined;
}

function versionOf({ clock, origin }: Version): Version {
  return { clock, origin };
}
