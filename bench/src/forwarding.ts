/**
 * Small and large UDP packets of 64 flows through a whole chassis, as many as come out, beside
 * Open vSwitch in user space and the kernel's bridge. The load runs on one processor and the router
 * on the other; what a packet costs the router's processor stands in the remarks.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Driver } from "@rhone/cli/namespaces";
import { run, runOrThrow } from "@rhone/cli/run";
import { runtimeCommand } from "@rhone/cli/runtime";
import type { Case, Options, Side } from "./case.ts";
import { startBridge } from "./kernel-peers.ts";
import { hasOpenVSwitch, startOpenVSwitch } from "./open-vswitch.ts";
import {
  CLIENT,
  LOAD_PROCESSOR,
  processorSeconds,
  SERVER,
  SERVER_ADDRESS,
  startRouter,
} from "./topology.ts";

const CLIENT_ADDRESS = "10.1.0.10";
const WARM_UP_MS = 1500;

/** Two namespaces with something in between. */
export interface Path {
  readonly client: string;
  readonly server: string;
  readonly from: string;
  readonly to: string;
  /** Whom the client's frames are addressed to. */
  readonly nextHopMac: string;
  /** Processes whose time counts; none when it is the kernel's. */
  readonly pids: () => readonly number[];
}

async function macOf(namespace: string): Promise<string> {
  const file = "/sys/class/net/eth0/address";
  return (await runOrThrow(["ip", "netns", "exec", namespace, "cat", file])).trim();
}

async function received(namespace: string): Promise<number> {
  const file = "/sys/class/net/eth0/statistics/rx_packets";
  return Number(await runOrThrow(["ip", "netns", "exec", namespace, "cat", file]));
}

/** Thousands of packets a second that come out, and nanoseconds of processor time for each. */
async function flood(path: Path, size: number, seconds: number): Promise<[number, number]> {
  const script = fileURLToPath(new URL("./generate.ts", import.meta.url));
  const command = [...runtimeCommand("node"), script];
  const ends = [await macOf(path.client), path.nextHopMac, path.from, path.to];
  const argv = [...command, String(seconds + WARM_UP_MS / 1000 + 1), String(size), ...ends];
  const inside = ["netns", "exec", path.client, "taskset", "-c", LOAD_PROCESSOR];
  const load = spawn("ip", [...inside, ...argv], { stdio: ["ignore", "ignore", "inherit"] });
  const ended = once(load, "exit");
  try {
    await sleep(WARM_UP_MS);
    const [startMs, packets] = [performance.now(), await received(path.server)];
    const used = processorSeconds(path.pids());
    await sleep(seconds * 1000);
    const came = (await received(path.server)) - packets;
    const elapsedMs = performance.now() - startMs;
    const spent = processorSeconds(path.pids()) - used;
    return [came / elapsedMs, (spent / came) * 1e9];
  } finally {
    load.kill("SIGKILL");
    await ended;
  }
}

/** What arrives is counted by the device and dropped at once, since it is for somebody else. */
async function deafen(namespace: string): Promise<void> {
  const link = ["ip", "-n", namespace, "link", "set", "dev", "eth0"];
  await runOrThrow([...link, "address", "02:00:00:00:00:de"]);
}

function forwarding(goals: string, driver: Driver, size: number): Case {
  return {
    name: `forwarding: ${size} bytes, ${driver}`,
    goals,
    unit: "kpps",
    prepare: (options) => prepare(driver, size, options),
  };
}

async function prepare(driver: Driver, size: number, options: Options) {
  const name = `f${driver === "af-xdp" ? "x" : "p"}${size}`;
  const lab = await startRouter({ name, chassis: 1, driver, workers: 1, rules: 100 }, options);
  const ends: (() => Promise<void>)[] = [() => lab.down()];
  const costs = new Map<string, number[]>();
  const side = (title: string, path: Path): Side => ({
    name: title,
    measure: async () => {
      const [kpps, ns] = await flood(path, size, options.seconds);
      costs.set(title, [...(costs.get(title) ?? []), ns]);
      return kpps;
    },
  });
  const chassis = lab.chassis[0]!.process;
  const client = lab.namespaceOf(CLIENT);
  // So that the router's port polls for what is redirected into it.
  const gro = ["ethtool", "-K", CLIENT, "gro", "on"];
  await run(["ip", "netns", "exec", chassis.namespace, ...gro]);
  await run(["ip", "netns", "exec", client, "ping", "-c", "1", SERVER_ADDRESS]);
  const neighbour = await runOrThrow(["ip", "-n", client, "neigh", "show", "10.1.0.1"]);
  const nextHopMac = /lladdr (\S+)/.exec(neighbour)![1]!;
  await deafen(lab.namespaceOf(SERVER));
  const subject = side("Rhône", {
    ...{ client, server: lab.namespaceOf(SERVER), from: CLIENT_ADDRESS, to: SERVER_ADDRESS },
    ...{ nextHopMac, pids: () => [chassis.pid!] },
  });
  const baselines: Side[] = [];
  const missing: string[] = [];
  if (await hasOpenVSwitch()) {
    const peer = await startOpenVSwitch(driver);
    ends.push(peer.end);
    await deafen(peer.path.server);
    peer.pause();
    const running = side(`Open vSwitch in user space, ${peer.mode}`, peer.path);
    const measure = async (): Promise<number> => {
      peer.resume();
      try {
        return await running.measure();
      } finally {
        peer.pause();
      }
    };
    baselines.push({ name: running.name, measure });
  } else {
    missing.push("Open vSwitch is not installed: apt-get install openvswitch-switch");
  }
  const bridge = await startBridge();
  ends.push(bridge.end);
  const bridgeMac = await macOf(bridge.server);
  await deafen(bridge.server);
  baselines.push(
    side("kernel bridge", {
      ...{ client: bridge.client, server: bridge.server, from: "10.8.0.1" },
      ...{ to: bridge.serverAddress, nextHopMac: bridgeMac, pids: () => [] },
    }),
  );
  return {
    subject,
    baselines,
    remarks: () =>
      [
        ...missing,
        ...[...costs].map(([title, ns]) => {
          const middle = ns.toSorted((a, b) => a - b)[ns.length >>> 1]!;
          return middle > 0 ? `${title}: ${middle.toFixed(0)} ns of processor time a packet` : "";
        }),
      ].filter((remark) => remark !== ""),
    end: async () => {
      for (const end of ends.toReversed()) await end();
    },
  };
}

export const FORWARDING_CASES: readonly Case[] = [
  forwarding("P4", "af-xdp", 64),
  forwarding("P4", "af-xdp", 1400),
  forwarding("P3", "af-packet", 64),
];
