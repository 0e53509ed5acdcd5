/** Files that only their owner may read, written whole or not at all. */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Makes a directory that nobody else may look into; everybody may pass those above it. */
export function makePrivateDirectory(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

/** Replaces the file; a reader sees the old one or the new one. */
export function writePrivate(path: string, text: string): void {
  const draft = join(dirname(path), `.${basename(path)}.new`);
  writeFileSync(draft, text, { mode: 0o600, flush: true });
  renameSync(draft, path);
}

/** null when there is no such file. */
export function readPrivate(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Names of the files in a directory, without drafts; none when there is no such directory. */
export function listPrivate(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => !name.startsWith("."));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
