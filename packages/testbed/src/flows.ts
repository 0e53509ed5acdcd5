/** Many flows from one workload to others, kept going while a test does something. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { runtimeCommand } from "@rhone/cli/runtime";
import type { FlowReport } from "./flow-tool.ts";
import type { LabFixture } from "./lab-fixture.ts";

export interface FlowOptions {
  readonly from: string;
  /** IPv4 addresses of workloads whose agents run. */
  readonly to: readonly string[];
  /** UDP flows to each of them. */
  readonly flows: number;
  /** Datagrams a second, of all flows together. */
  readonly rate: number;
}

/** What became of the flows while `body` ran. */
export async function withFlows(
  fixture: LabFixture,
  { from, to, flows, rate }: FlowOptions,
  body: () => Promise<void>,
): Promise<FlowReport> {
  const script = fileURLToPath(import.meta.resolve("./flow-tool.ts"));
  const command = [...runtimeCommand("node"), script, String(flows), String(rate), ...to];
  const namespace = fixture.running.namespaceOf(from);
  const child = spawn("ip", ["netns", "exec", namespace, ...command], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout });
  const exited = once(child, "exit");
  try {
    await once(lines, "line");
    await body();
    child.stdin.end();
    const [report] = (await once(lines, "line")) as [string];
    return JSON.parse(report) as FlowReport;
  } finally {
    child.kill("SIGKILL");
    await exited;
  }
}

/**
 * Datagrams that sockets of workloads, or of chassis for their tunnel, had no room for: nobody on
 * the way has lost them.
 */
export async function socketLosses(fixture: LabFixture, names: readonly string[]): Promise<number> {
  const counts = names.map(async (name) => {
    const files = ["/proc/self/net/snmp", "/proc/self/net/snmp6"];
    const { stdout } = await fixture.run(name, "cat", ...files);
    const [names, values] = stdout.split("\n").filter((line) => line.startsWith("Udp:"));
    const column = names!.split(" ").indexOf("RcvbufErrors");
    const ofIpv6 = /^Udp6RcvbufErrors\s+(\d+)$/m.exec(stdout);
    return Number(values!.split(" ")[column]) + Number(ofIpv6?.[1] ?? 0);
  });
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}
