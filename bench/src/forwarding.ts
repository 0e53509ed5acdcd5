/**
 * Small and large UDP packets of 64 flows through a whole chassis, as many as come out, beside
 * Open vSwitch in user space, a forwarder without a pipeline and the kernel's bridge. The load runs
 * on one processor and the router on the other; what a packet costs the router's processor stands
 * in the remarks.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Driver, TunnelDriver } from "@rhone/cli/namespaces";
import type { Case, Options, Prepared, Side } from "./case.ts";
import { deafen, flood, macOf, type Path, pathThrough, trickle } from "./flood.ts";
import { startBridge } from "./kernel-peers.ts";
import { hasOpenVSwitch, type OpenVSwitch, startOpenVSwitch } from "./open-vswitch.ts";
import { hasOpenVSwitchDpdk, startOpenVSwitchDpdk } from "./open-vswitch-dpdk.ts";
import { startPlainForwarder } from "./plain-forwarder.ts";
import { startRouter } from "./topology.ts";

/** Of Debian. */
const DPDK_PACKAGES = "openvswitch-switch-dpdk librte-net-af-xdp23 librte-mempool-ring23";
/** Packets a second where a packet's cost is compared: what both can do without loss. */
const STEADY_RATE = 100_000;

/** Floods sides in turn, and keeps what a packet costs each. */
class Floods {
  readonly #size: number;
  readonly #seconds: number;
  readonly #costs = new Map<string, number[]>();

  constructor(size: number, seconds: number) {
    this.#size = size;
    this.#seconds = seconds;
  }

  side(name: string, path: Path): Side {
    return {
      name,
      measure: async () => {
        const [kpps, ns] = await flood(path, this.#size, this.#seconds);
        this.#costs.set(name, [...(this.#costs.get(name) ?? []), ns]);
        return kpps;
      },
    };
  }

  /** A peer whose thread polls without end runs only while it is measured. */
  sideOf(name: string, peer: OpenVSwitch): Side {
    peer.pause();
    const running = this.side(name, peer.path);
    const measure = async (): Promise<number> => {
      peer.resume();
      try {
        return await running.measure();
      } finally {
        peer.pause();
      }
    };
    return { name, measure };
  }

  remarks(): string[] {
    return [...this.#costs].flatMap(([title, ns]) => {
      const middle = ns.toSorted((a, b) => a - b)[ns.length >>> 1]!;
      return middle > 0 ? [`${title}: ${middle.toFixed(0)} ns of processor time a packet`] : [];
    });
  }
}

type End = () => Promise<void>;

async function openVSwitch(goal: string, driver: Driver, floods: Floods, ends: End[]) {
  const peer = await startOpenVSwitch(driver);
  ends.push(peer.end);
  await deafen(peer.path.server);
  return floods.sideOf(`${goal}Open vSwitch in user space, ${peer.mode}`, peer);
}

async function openVSwitchDpdk(floods: Floods, ends: End[]): Promise<Side> {
  const peer = await startOpenVSwitchDpdk();
  ends.push(peer.end);
  await deafen(peer.path.server);
  return floods.sideOf(`P5: Open vSwitch in user space, ${peer.mode}`, peer);
}

async function plainForwarder(options: Options, floods: Floods, ends: End[]): Promise<Side> {
  const { path, end } = await startPlainForwarder(options);
  ends.push(end);
  return floods.side("P4b: a forwarder without a pipeline", path);
}

async function kernelBridge(floods: Floods, ends: End[]): Promise<Side> {
  const bridge = await startBridge();
  ends.push(bridge.end);
  const nextHopMac = await macOf(bridge.server);
  await deafen(bridge.server);
  return floods.side("kernel bridge", {
    ...{ client: bridge.client, server: bridge.server, from: "10.8.0.1" },
    ...{ to: bridge.serverAddress, nextHopMac, pids: () => [] },
  });
}

async function prepare(driver: Driver, size: number, options: Options): Promise<Prepared> {
  const ends: End[] = [];
  const end = async (): Promise<void> => {
    for (const each of ends.toReversed()) await each();
  };
  try {
    const name = `f${driver === "af-xdp" ? "x" : "p"}${size}`;
    const lab = await startRouter({ name, chassis: 1, driver, workers: 1, rules: 100 }, options);
    ends.push(() => lab.down());
    const floods = new Floods(size, options.seconds);
    const subject = floods.side("Rhône", await pathThrough(lab));
    const baselines: Side[] = [];
    const missing: string[] = [];
    if (options.isAlone === true) {
      return { subject, baselines, remarks: () => floods.remarks(), end };
    }
    if (await hasOpenVSwitch()) {
      if (driver === "af-xdp") {
        baselines.push(await openVSwitch("P4: ", "af-xdp", floods, ends));
        baselines.push(await openVSwitch("P3: ", "af-packet", floods, ends));
      } else {
        baselines.push(await openVSwitch("", "af-packet", floods, ends));
      }
    } else {
      missing.push("Open vSwitch is not installed: apt-get install openvswitch-switch");
    }
    if (driver === "af-xdp") {
      if (await hasOpenVSwitchDpdk()) baselines.push(await openVSwitchDpdk(floods, ends));
      else missing.push(`Open vSwitch has no DPDK: apt-get install ${DPDK_PACKAGES}`);
      baselines.push(await plainForwarder(options, floods, ends));
    }
    baselines.push(await kernelBridge(floods, ends));
    return { subject, baselines, remarks: () => [...missing, ...floods.remarks()], end };
  } catch (error) {
    await end();
    throw error;
  }
}

function forwarding(goals: string, driver: Driver, size: number): Case {
  return {
    name: `forwarding: ${size} bytes, ${driver}`,
    goals,
    unit: "kpps",
    prepare: (options) => prepare(driver, size, options),
  };
}

/** What a packet costs in all: with a tunnel on its way, and without. */
const tunnelCost = (tunnelDriver: TunnelDriver): Case => ({
  name: `forwarding: cost of a packet over two chassis, af-xdp, the tunnel by ${tunnelDriver}`,
  goals: "P6",
  unit: "ns/packet",
  prepare: async (options) => {
    const spec = { driver: "af-xdp", workers: 1, rules: 100 } as const;
    const two = await startRouter({ ...spec, name: "c2", chassis: 2, tunnelDriver }, options);
    const one = await startRouter({ ...spec, name: "c1", chassis: 1 }, options);
    const [far, near] = [await pathThrough(two), await pathThrough(one)];
    // While code is compiled and flows are new, some are lost.
    for (const path of [far, near]) await trickle(path, STEADY_RATE, () => sleep(1000));
    const lost = new Map<string, number>();
    const side = (name: string, path: Path): Side => ({
      name,
      measure: async () => {
        const { sent, came, cost } = await trickle(path, STEADY_RATE, () =>
          sleep(options.seconds * 1000),
        );
        lost.set(name, (lost.get(name) ?? 0) + sent - came);
        return cost;
      },
    });
    return {
      subject: side("two chassis with Geneve", far),
      baselines: [side("one chassis", near)],
      remarks: () => [
        `${STEADY_RATE / 1000} kpps`,
        ...[...lost].map(([name, packets]) => `${name}: ${packets} packets lost`),
      ],
      end: async () => {
        await two.down();
        await one.down();
      },
    };
  },
});

export const FORWARDING_CASES: readonly Case[] = [
  forwarding("P3 P4 P5", "af-xdp", 64),
  forwarding("P3 P4 P5", "af-xdp", 1400),
  forwarding("", "af-packet", 64),
  tunnelCost("udp"),
  tunnelCost("af-xdp"),
];
