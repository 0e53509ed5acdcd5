/**
 * Runs a program to its end and keeps what it prints. Used by the lab for `ip`, `ping` and the
 * like.
 */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { UserError } from "./user-error.ts";

export interface RunResult {
  /** Exit status; 128 plus the signal's number when a signal ended it, as in a shell. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  /** The program is killed after this time, 30 s by default. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 30_000;
const KILLED = 137;

/** Throws UserError when there is no such program. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program, ...rest] = argv;
  const child = spawn(program!, rest, {
    stdio: "pipe",
    timeout: options.timeoutMs ?? TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  // A program that ends without reading its input is judged by its exit status.
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  const ended = new Promise<number>((resolve, reject) => {
    child.on("error", (error: NodeJS.ErrnoException) =>
      reject(error.code === "ENOENT" ? missingProgram(program!) : error),
    );
    child.on("close", (code) => resolve(code ?? KILLED));
  });
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}

/** Like `run`; throws Error with what the program said when it fails. */
export async function runOrThrow(
  argv: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await run(argv, options);
  if (code === 0) return stdout;
  const said = (stderr.trim() || stdout.trim()).split("\n").slice(0, 5).join("\n");
  throw new Error(`${argv.join(" ")}: exit status ${code}: ${said}`);
}

function missingProgram(program: string): UserError {
  return new UserError(`expected the program "${program}" on this machine: run scripts/setup`);
}
