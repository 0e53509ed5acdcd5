/** For tests: the `rhone` command as a process, as a user runs it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { type RunResult, run } from "./run.ts";
import { runtimeCommand, scriptPath } from "./runtime.ts";

export const EXAMPLE = scriptPath("../../../labs/web-db.yaml");
const COMMAND = [...runtimeCommand("node"), scriptPath("./main.ts")];
const UP_TIMEOUT_MS = 30_000;

/** Runs a command to its end. */
export function rhone(...argv: readonly string[]): Promise<RunResult> {
  return run([...COMMAND, ...argv], { timeoutMs: 60_000 });
}

/** What `rhone lab up --json` prints first. */
export interface UpEvent {
  readonly prefix: string;
  readonly chassis: readonly { name: string; url: string; socket: string; namespace: string }[];
  readonly workloads: readonly { name: string; namespace: string }[];
}

export interface LabProcess {
  readonly child: ChildProcess;
  readonly up: UpEvent;
  /** Ends the process; resolves with its exit status, null when a signal ended it. */
  readonly end: (signal: NodeJS.Signals) => Promise<number | null>;
}

/** Starts a lab in a process of its own and waits until it is up. */
export async function startLabProcess(prefix: string, ...argv: string[]): Promise<LabProcess> {
  const options = ["lab", "up", EXAMPLE, "--json", "--rest-port", "0", "--prefix", prefix];
  const [program, ...rest] = [...COMMAND, ...options, ...argv];
  const child = spawn(program!, rest, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    return (await exited)[0];
  };
  const timer = setTimeout(() => child.kill("SIGTERM"), UP_TIMEOUT_MS);
  try {
    const lines = createInterface({ input: child.stdout });
    const line = await Promise.race([once(lines, "line"), exited]);
    if (typeof line[0] !== "string") throw new Error(`the lab ended with ${line[0] ?? line[1]}`);
    return { child, up: JSON.parse(line[0]), end };
  } finally {
    clearTimeout(timer);
  }
}
