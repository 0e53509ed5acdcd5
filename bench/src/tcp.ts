/** Bulk TCP by iperf3, through one chassis and across two, beside the kernel's bridge and VXLAN. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { Driver } from "@rhone/cli/namespaces";
import { runOrThrow } from "@rhone/cli/run";
import type { Case, Options } from "./case.ts";
import { startBridge, startVxlan } from "./kernel-peers.ts";
import { CLIENT, LOAD_PROCESSOR, SERVER, SERVER_ADDRESS, startRouter } from "./topology.ts";

const BITS_PER_GIGABIT = 1e9;

/** Gbit/s that the receiver got, with both ends on the load's processor. */
export async function iperf(
  client: string,
  server: string,
  to: string,
  seconds: number,
  streams = 1,
): Promise<number> {
  const inside = (namespace: string): string[] => ["netns", "exec", namespace];
  const pinned = ["taskset", "-c", LOAD_PROCESSOR, "iperf3"];
  const listener = spawn("ip", [...inside(server), ...pinned, "--server", "--one-off"], {
    stdio: "ignore",
  });
  const ended = once(listener, "exit");
  try {
    await sleep(300);
    const argv = [...pinned, "--client", to, "--time", String(seconds), "--json"];
    argv.push("--parallel", String(streams));
    const text = await runOrThrow(["ip", ...inside(client), ...argv], { timeoutMs: 60_000 });
    const { end } = JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } };
    return end.sum_received.bits_per_second / BITS_PER_GIGABIT;
  } finally {
    listener.kill();
    await ended;
  }
}

function tcpCase(goals: string, chassis: 1 | 2, driver: Driver): Case {
  const where = chassis === 1 ? "through one chassis" : "across two chassis";
  return {
    name: `tcp: ${where}, ${driver}`,
    goals,
    unit: "Gbit/s",
    prepare: async (options: Options) => {
      const name = `t${chassis}${driver === "af-xdp" ? "x" : "p"}`;
      const lab = await startRouter({ name, chassis, driver, workers: 1, rules: 100 }, options);
      const peer = await (chassis === 1 ? startBridge() : startVxlan());
      const [client, server] = [lab.namespaceOf(CLIENT), lab.namespaceOf(SERVER)];
      return {
        subject: {
          name: "Rhône",
          measure: () => iperf(client, server, SERVER_ADDRESS, options.seconds),
        },
        baselines: [
          {
            name: chassis === 1 ? "kernel bridge" : "kernel VXLAN between bridges",
            measure: () => iperf(peer.client, peer.server, peer.serverAddress, options.seconds),
          },
        ],
        end: async () => {
          await peer.end();
          await lab.down();
        },
      };
    },
  };
}

export const TCP_CASES: readonly Case[] = [
  tcpCase("P7", 1, "af-packet"),
  tcpCase("P8", 2, "af-packet"),
  tcpCase("P7", 1, "af-xdp"),
];
