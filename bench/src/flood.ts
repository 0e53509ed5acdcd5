/** Load from one namespace to another, with something in between, and what comes of it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { run, runOrThrow } from "@rhone/cli/run";
import { runtimeCommand } from "@rhone/cli/runtime";
import {
  CLIENT,
  CLIENT_ADDRESS,
  LOAD_PROCESSOR,
  processorSeconds,
  type Router,
  SERVER,
  SERVER_ADDRESS,
} from "./topology.ts";

const WARM_UP_MS = 1500;
/** A rate: as many as the device takes. */
export const AT_MOST = 0;
/** For what is still on its way. */
const REST_MS = 500;

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

/** From the client of a lab to its server, which hears nothing any more. */
export async function pathThrough(router: Router): Promise<Path> {
  const [client, server] = [router.namespaceOf(CLIENT), router.namespaceOf(SERVER)];
  // So that the router's port polls for what is redirected into it.
  const gro = ["ethtool", "-K", CLIENT, "gro", "on"];
  await run(["ip", "netns", "exec", router.chassis[0]!.process.namespace, ...gro]);
  await run(["ip", "netns", "exec", client, "ping", "-c", "1", SERVER_ADDRESS]);
  const neighbour = await runOrThrow(["ip", "-n", client, "neigh", "show", "10.1.0.1"]);
  await deafen(server);
  return {
    ...{ client, server, from: CLIENT_ADDRESS, to: SERVER_ADDRESS },
    nextHopMac: /lladdr (\S+)/.exec(neighbour)![1]!,
    pids: () => router.chassis.map(({ process }) => process.pid!),
  };
}

/** What arrives is counted by the device and dropped at once, since it is for somebody else. */
export async function deafen(namespace: string): Promise<void> {
  const link = ["ip", "-n", namespace, "link", "set", "dev", "eth0"];
  await runOrThrow([...link, "address", "02:00:00:00:00:de"]);
}

export async function macOf(namespace: string): Promise<string> {
  const file = "/sys/class/net/eth0/address";
  return (await runOrThrow(["ip", "netns", "exec", namespace, "cat", file])).trim();
}

/** Packets that have come to the path's server so far. */
function received(namespace: string): Promise<number> {
  return statistic(namespace, "rx_packets");
}

async function statistic(namespace: string, name: string): Promise<number> {
  const file = `/sys/class/net/eth0/statistics/${name}`;
  return Number(await runOrThrow(["ip", "netns", "exec", namespace, "cat", file]));
}

/** Packets that the client has sent and that have come to the server so far. */
export async function progress({ client, server }: Path): Promise<{ sent: number; came: number }> {
  const [sent, came] = await Promise.all([statistic(client, "tx_packets"), received(server)]);
  return { sent, came };
}

/** One of this folder's generators, in the path's client. */
async function generate(path: Path, name: string, ...argv: string[]): Promise<ChildProcess> {
  const script = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  const ends = [await macOf(path.client), path.nextHopMac, path.from, path.to];
  const command = [...runtimeCommand("node"), script, ...argv, ...ends];
  const inside = ["netns", "exec", path.client, "taskset", "-c", LOAD_PROCESSOR];
  return spawn("ip", [...inside, ...command], { stdio: ["ignore", "pipe", "inherit"] });
}

/**
 * As much as the path takes: thousands of packets a second that come out, and nanoseconds of
 * processor time for each.
 */
export async function flood(path: Path, size: number, seconds: number): Promise<[number, number]> {
  const span = seconds + WARM_UP_MS / 1000 + 1;
  const load = await generate(path, "generate", String(span), String(size));
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

export interface Trickle {
  readonly sent: number;
  readonly came: number;
  /** Nanoseconds of processor time for each that came. */
  readonly cost: number;
}

/** A steady load of `rate` packets a second, or AT_MOST, as long as `meanwhile` takes. */
export async function trickle(
  path: Path,
  rate: number,
  meanwhile: () => Promise<unknown>,
): Promise<Trickle> {
  const load = await generate(path, "pace", String(rate));
  const ended = once(load, "exit");
  let said = "";
  load.stdout!.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const before = await received(path.server);
  try {
    await sleep(WARM_UP_MS);
    const [packets, used] = [await received(path.server), processorSeconds(path.pids())];
    await meanwhile();
    const spent = processorSeconds(path.pids()) - used;
    const cost = (spent / ((await received(path.server)) - packets)) * 1e9;
    load.kill("SIGTERM");
    await ended;
    await sleep(REST_MS);
    const sent = Number(said);
    if (!(sent > 0)) throw new Error(`expected the generator to say what it sent, got ${said}`);
    return { sent, came: (await received(path.server)) - before, cost };
  } finally {
    load.kill("SIGKILL");
    await ended;
  }
}
