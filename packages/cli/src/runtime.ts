/** The programs that run TypeScript: for the chassis, and for the lab's helpers in workloads. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "./user-error.ts";

export type Runtime = "node" | "deno";

/** The command line in front of a script. Throws UserError when the runtime is not installed. */
export function runtimeCommand(runtime: Runtime): string[] {
  // Node's notes on experimental features would be the first thing in every log.
  if (runtime === "node") return [process.execPath, "--disable-warning=ExperimentalWarning"];
  return [denoBinary(), "run", "--allow-all", "--quiet"];
}

/**
 * The program itself: the script that the package `deno` installs waits for it as a parent, so a
 * signal to it would not reach the program.
 */
function denoBinary(): string {
  const platform = { x64: "linux-x64-glibc", arm64: "linux-arm64-glibc" }[process.arch as string];
  try {
    const deno = createRequire(import.meta.url).resolve("deno/package.json");
    const manifest = createRequire(deno).resolve(`@deno/${platform}/package.json`);
    const binary = join(dirname(manifest), "deno");
    if (existsSync(binary)) return binary;
  } catch {
    // Said below.
  }
  throw new UserError('expected the package "deno" in node_modules, got none: run scripts/setup');
}

/** The file of a module of this package or of its neighbours. */
export function scriptPath(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}
