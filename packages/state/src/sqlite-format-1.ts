/**
 * What a state file of format 1 held: one row a document, without signatures and without what was
 * written when. Read once, when a later version opens such a file. Run by the control thread.
 */
import type { DatabaseSync } from "node:sqlite";
import { CLOCK_MAX, compareVersions, type Version } from "./record.ts";
import type { Fields } from "./registers.ts";
import type { Kind } from "./schema.ts";
import { seal } from "./seal.ts";
import { deleteText, type Portion, putText } from "./write.ts";

/** Each row as a transaction of its own, unsigned; what cannot be read is left out. */
export function portionsOfFormat1(database: DatabaseSync): Portion[] {
  const rows = database.prepare("SELECT * FROM entries ORDER BY origin, clock").all();
  const clocks = new Map<string, number>();
  return rows.flatMap((row) => {
    const version = versionOf(row["clock"], row["origin"]);
    const created = versionOf(row["created_clock"], row["created_origin"]);
    const document = parse(row["value"]);
    if (version === null || created === null || document === undefined) return [];
    const [kind, name] = [row["kind"] as Kind, String(row["name"])];
    const isOlder = compareVersions(created, version) < 0 && created.clock < version.clock;
    if (document === null && !isOlder) return [];
    // There was one a port; its chassis says anew what it has.
    if (kind === "binding") return [];
    const text =
      document === null
        ? deleteText(version, kind, name, created)
        : putText(version, kind, name, document, isOlder ? created : undefined);
    const last = clocks.get(version.origin) ?? 0;
    clocks.set(version.origin, version.clock);
    return seal(version, Math.min(last, version.clock - 1), [text], null);
  });
}

function versionOf(clock: unknown, origin: unknown): Version | null {
  const isClock = Number.isInteger(clock) && Number(clock) >= 1 && Number(clock) <= CLOCK_MAX;
  return isClock ? { clock: Number(clock), origin: String(origin) } : null;
}

/** undefined when it is no document. */
function parse(value: unknown): Fields | null | undefined {
  if (value === null) return null;
  try {
    const document: unknown = JSON.parse(String(value));
    return typeof document === "object" ? (document as Fields | null) : undefined;
  } catch {
    return undefined;
  }
}
