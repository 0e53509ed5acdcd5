/** The time that a chassis adds to a round trip, what it uses when idle, and how fast it starts. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Driver } from "@rhone/cli/namespaces";
import { run, runOrThrow } from "@rhone/cli/run";
import type { Case } from "./case.ts";
import { startBridge } from "./kernel-peers.ts";
import { percentile } from "./statistics.ts";
import { CLIENT, processorSeconds, SERVER_ADDRESS, startRouter } from "./topology.ts";

const PINGS = 400;

/** Round trips in microseconds. */
async function ping(namespace: string, to: string): Promise<number[]> {
  const argv = ["ping", "-c", String(PINGS), "-i", "0.005", "-W", "1", to];
  const text = await runOrThrow(["ip", "netns", "exec", namespace, ...argv]);
  return [...text.matchAll(/time=([\d.]+) ms/g)].map((match) => Number(match[1]) * 1000);
}

function roundTrip(part: "min" | "p99", driver: Driver): Case {
  const figure = (times: readonly number[]): number => percentile(times, part === "min" ? 0 : 0.99);
  return {
    name: `round trip: ${part}, ${driver}`,
    goals: "P13",
    unit: "µs",
    prepare: async (options) => {
      const name = `r${part}${driver === "af-xdp" ? "x" : "p"}`;
      const lab = await startRouter({ name, chassis: 1, driver, workers: 1, rules: 10 }, options);
      const peer = await startBridge();
      return {
        subject: {
          name: "Rhône",
          measure: async () => figure(await ping(lab.namespaceOf(CLIENT), SERVER_ADDRESS)),
        },
        baselines: [
          {
            name: "kernel bridge",
            measure: async () => figure(await ping(peer.client, peer.serverAddress)),
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

export const LATENCY_CASES: readonly Case[] = [
  roundTrip("min", "af-packet"),
  roundTrip("p99", "af-packet"),
  roundTrip("min", "af-xdp"),
  {
    name: "idle: processor of a chassis",
    goals: "P16",
    unit: "% of one",
    prepare: async (options) => {
      const spec = {
        name: "idle",
        chassis: 1,
        driver: "af-packet",
        workers: 2,
        rules: 10,
      } as const;
      const lab = await startRouter(spec, options);
      await sleep(2000);
      return {
        subject: {
          name: "chassis with its nats-server",
          measure: async () => {
            const pids = lab.chassis.map(({ process: chassis }) => chassis.pid!);
            const before = processorSeconds(pids);
            await sleep(options.seconds * 2000);
            return ((processorSeconds(pids) - before) / (options.seconds * 2)) * 100;
          },
        },
        baselines: [],
        end: () => lab.down(),
      };
    },
  },
  {
    name: "start: two chassis to the first packet",
    goals: "P17",
    unit: "s",
    prepare: async (options) => ({
      subject: {
        name: "lab up and a ping answered",
        measure: async () => {
          const startMs = performance.now();
          const spec = {
            name: "up",
            chassis: 2,
            driver: "af-packet",
            workers: 1,
            rules: 0,
          } as const;
          const lab = await startRouter(spec, options);
          try {
            const argv = ["ping", "-c", "1", "-W", "5", SERVER_ADDRESS];
            const { code } = await run(["ip", "netns", "exec", lab.namespaceOf(CLIENT), ...argv]);
            if (code !== 0) throw new Error("the first ping was not answered");
            return (performance.now() - startMs) / 1000;
          } finally {
            await lab.down();
          }
        },
      },
      baselines: [],
      end: async () => {},
    }),
  },
];
