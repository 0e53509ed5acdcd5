/**
 * Keeps the number of the chassis' life in its data directory, so that the next one is greater
 * whatever the clock shows then. Run by the control thread, once in each life.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nextIncarnation } from "@rhone/gossip/incarnation";

const FILE = "incarnation";

export interface Life {
  /** Greater than that of the life before. */
  readonly incarnation: number;
  /** Whether none came before, as far as its directory says. */
  readonly isFirst: boolean;
}

/**
 * The life that begins. `onUnkept` hears why it could not be kept; that is no reason
 * not to start, as a greater one follows from the clock, if that is not set back.
 */
export function beginLife(
  directory: string,
  wallMs: number,
  onUnkept: (error: Error) => void,
): Life {
  const path = join(directory, FILE);
  const last = readLast(path);
  const incarnation = nextIncarnation(last, wallMs);
  try {
    mkdirSync(directory, { recursive: true });
    const draft = `${path}.new`;
    writeFileSync(draft, `${incarnation}\n`, { flush: true });
    renameSync(draft, path);
  } catch (error) {
    onUnkept(error as Error);
  }
  return { incarnation, isFirst: last === null };
}

/** null when there is none, or something else in its file. */
function readLast(path: string): number | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
  const last = Number(text);
  return text !== "" && Number.isSafeInteger(last) && last >= 0 ? last : null;
}
