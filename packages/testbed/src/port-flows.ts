/** Datagrams from one workload to ports of another, while a test does something. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { runtimeCommand } from "@rhone/cli/runtime";
import type { LabFixture } from "./lab-fixture.ts";
import type { PortCounts } from "./port-tool.ts";

/** For what is still on its way. */
const SETTLE_MS = 500;

export interface PortFlowOptions {
  readonly from: string;
  readonly to: string;
  readonly address: string;
  readonly ports: readonly number[];
  /** Datagrams a second, to all ports together. */
  readonly rate: number;
  /** Source ports that each of them is reached from. */
  readonly flows: number;
}

export interface PortReport {
  readonly sent: PortCounts;
  readonly received: PortCounts;
}

/** What was sent while `body` ran, and what came. */
export async function withPortFlows(
  fixture: LabFixture,
  { from, to, address, ports, rate, flows }: PortFlowOptions,
  body: () => Promise<void>,
): Promise<PortReport> {
  const counter = new Tool(fixture, to, ["count", ...ports.map(String)]);
  const figures = [rate, flows, ...ports].map(String);
  let sender: Tool | null = null;
  try {
    await counter.line(); // Nobody may say that the port is closed.
    sender = new Tool(fixture, from, ["send", address, ...figures]);
    await sender.line();
    await body();
    const sent = JSON.parse(await sender.end()) as PortCounts;
    await sleep(SETTLE_MS);
    return { sent, received: JSON.parse(await counter.end()) as PortCounts };
  } finally {
    await Promise.all([counter.kill(), sender?.kill()]);
  }
}

class Tool {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(fixture: LabFixture, workload: string, argv: readonly string[]) {
    const script = fileURLToPath(import.meta.resolve("./port-tool.ts"));
    const inside = ["netns", "exec", fixture.running.namespaceOf(workload)];
    const command = [...inside, ...runtimeCommand("node"), script, ...argv];
    this.#child = spawn("ip", command, { stdio: ["pipe", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** The next one that it prints. */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error("expected a line of the program, but it ended");
    return value;
  }

  /** Tells it to end; resolves with its last line. */
  end(): Promise<string> {
    this.#child.stdin!.end();
    return this.line();
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }
}
