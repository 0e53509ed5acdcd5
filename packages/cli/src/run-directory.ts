/**
 * Who runs which lab: `/run/rhone/<prefix>/lab.json`. The directory is also where the lab's chassis
 * keep their files. Its existence is the lock; the owner's process id and start time say whether
 * it still lives.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { EXIT_FAILED, UserError } from "./user-error.ts";

const ROOT = "/run/rhone";
const RECORD = "lab.json";
const START_TIME_FIELD = 19; // of /proc/<pid>/stat, counted from behind the program's name

export interface LabRecord {
  readonly lab: string;
  readonly prefix: string;
  readonly pid: number;
  /** Ticks after boot when `pid` began: a process id alone may be somebody else's by now. */
  readonly startTime: string;
  readonly namespaces: readonly string[];
}

export function runDirectory(prefix: string): string {
  return `${ROOT}/${prefix}`;
}

/** Makes the directory ours. False when a lab has it already; only one of several callers wins. */
export function claimRunDirectory(lab: string, prefix: string, namespaces: string[]): boolean {
  const record = { lab, prefix, pid: process.pid, startTime: startTime(process.pid)!, namespaces };
  const draft = `${ROOT}/.${prefix}.${process.pid}`;
  try {
    mkdirSync(draft, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new UserError(`expected a writable ${ROOT}: ${(error as Error).message}`, EXIT_FAILED);
  }
  writeFileSync(`${draft}/${RECORD}`, JSON.stringify(record, null, 2) + "\n");
  try {
    renameSync(draft, runDirectory(prefix)); // Fails when the target has files: one winner.
    return true;
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (["ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

/** What is known of a lab; null when there is none of that prefix. */
export function readLabRecord(prefix: string): LabRecord | null {
  try {
    return JSON.parse(readFileSync(`${runDirectory(prefix)}/${RECORD}`, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

export function listLabRecords(): LabRecord[] {
  let prefixes: string[];
  try {
    prefixes = readdirSync(ROOT).filter((name) => !name.startsWith("."));
  } catch {
    return [];
  }
  return prefixes.map(readLabRecord).filter((record) => record !== null);
}

export function ownerIsAlive({ pid, startTime: began }: LabRecord): boolean {
  return startTime(pid) === began;
}

/** undefined when there is no such process. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[START_TIME_FIELD];
  } catch {
    return undefined;
  }
}
