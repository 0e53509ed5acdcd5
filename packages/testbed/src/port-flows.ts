/** Datagrams from one workload to ports of another, while a test does something. */
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { runtimeCommand } from "@rhone/cli/runtime";
import type { LabFixture } from "./lab-fixture.ts";
import type { PortCounts } from "./port-tool.ts";
import { Tool } from "./tool.ts";

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
  const start = (workload: string, ...argv: readonly string[]): Tool => {
    const script = fileURLToPath(import.meta.resolve("./port-tool.ts"));
    const command = [...runtimeCommand("node"), script, ...argv];
    return new Tool(fixture.running.namespaceOf(workload), command);
  };
  const counter = start(to, "count", ...ports.map(String));
  const figures = [rate, flows, ...ports].map(String);
  let sender: Tool | null = null;
  try {
    await counter.line(); // Nobody may say that the port is closed.
    sender = start(from, "send", address, ...figures);
    await sender.line();
    await body();
    const sent = JSON.parse(await sender.end()) as PortCounts;
    await sleep(SETTLE_MS);
    return { sent, received: JSON.parse(await counter.end()) as PortCounts };
  } finally {
    await Promise.all([counter.kill(), sender?.kill()]);
  }
}
