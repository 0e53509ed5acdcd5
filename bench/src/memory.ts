/** What the pipeline costs in memory, without ports. Each measurement is a process of its own. */
import { fileURLToPath } from "node:url";
import { runOrThrow } from "@rhone/cli/run";
import { runtimeCommand } from "@rhone/cli/runtime";
import type { Case, Options, Side } from "./case.ts";
import type { Crossing } from "./memory-threads.ts";

const TIMEOUT_MS = 300_000;

function program(name: string, options: Options, ...argv: readonly string[]): Promise<string> {
  const path = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  return runOrThrow([...runtimeCommand(options.runtime), path, ...argv], { timeoutMs: TIMEOUT_MS });
}

function side(name: string, options: Options, ...argv: readonly string[]): Side {
  return { name, measure: async () => Number(await program("memory-run", options, ...argv)) };
}

const nothing = async (): Promise<void> => {};

function known(flows: number): Case {
  return {
    name: `memory: known flows, ${flows}`,
    goals: "P1",
    unit: "ns/packet",
    prepare: async (options) => ({
      subject: side("fast path", options, "known", String(flows), "fast"),
      baselines: [side("stages", options, "known", String(flows), "stages")],
      end: nothing,
    }),
  };
}

/** To a VIP, and the answers of its backend at the same chassis. */
function balanced(flows: number): Case {
  return {
    name: `memory: balanced flows, ${flows}`,
    goals: "P1",
    unit: "ns/packet",
    prepare: async (options) => ({
      subject: side("fast path", options, "balanced", String(flows), "fast"),
      baselines: [side("stages", options, "balanced", String(flows), "stages")],
      end: nothing,
    }),
  };
}

/** Rules decide about first packets only: how many there are must not matter afterwards. */
function knownUnderRules(rules: number): Case {
  return {
    name: `memory: known flows, ${rules} rules`,
    goals: "P11",
    unit: "ns/packet",
    prepare: async (options) => ({
      subject: side(`${rules} rules`, options, "known", "10000", "fast", String(rules)),
      baselines: [side("10 rules", options, "known", "10000", "fast", "10")],
      end: nothing,
    }),
  };
}

/** Packets to 4,096 networks, each with a route of its own among others; or one for all of them. */
function manyRoutes(routes: number, what: "known" | "first"): Case {
  const flows = what === "known" ? "40960" : "4096";
  return {
    name: `memory: ${what === "known" ? "known flows" : "first packets"}, ${routes} routes`,
    goals: "P12",
    unit: "ns/packet",
    prepare: async (options) => {
      const [ms, mib] = (await program("memory-run", options, "build", "0", "-", "10", `${routes}`))
        .trim()
        .split(" ");
      return {
        subject: side(`${routes} routes`, options, what, flows, "fast", "10", String(routes)),
        baselines: [side("1 route", options, what, flows, "fast", "10", "1")],
        remarks: () => [`${ms} ms to build the tables, ${mib} MiB`],
        end: nothing,
      };
    },
  };
}

const HOW_MANY: Readonly<Record<Crossing, string>> = {
  apart: "none handed over",
  half: "half of the packets handed over",
  crossing: "every packet handed over",
};

/** Two workers share a chassis's memory. */
function twoWorkers(crossing: Crossing): Case {
  return {
    name: `memory: two workers, ${HOW_MANY[crossing]}`,
    goals: "P9",
    unit: "kpps",
    prepare: async (options) => {
      const workers = (count: number): Side => ({
        name: count === 1 ? "one worker" : `${count} workers`,
        measure: async () => Number(await program("workers-run", options, String(count), crossing)),
      });
      return { subject: workers(2), baselines: [workers(1)], end: nothing };
    },
  };
}

/** Of two workers, each with as many packets, half of which it hands over. */
const COLLECTIONS: Case = {
  name: "memory: garbage collections of two workers, ten million packets of each",
  goals: "P15",
  unit: "collections",
  prepare: async (options) => {
    const remarks: string[] = [];
    const measure = async (): Promise<number> => {
      const said = await program("workers-run", options, "2", "half", "10000000");
      const [collections, bytes, slotsLost] = said.trim().split(" ").map(Number);
      remarks.push(`${bytes} bytes allocated, ${slotsLost} slots lost`);
      return collections!;
    };
    const subject = { name: "fast path", measure };
    return { subject, baselines: [], remarks: () => remarks, end: nothing };
  },
};

function firstPackets(rules: number): Case {
  return {
    name: `memory: first packets, ${rules} rules`,
    goals: "P2",
    unit: "ns/packet",
    prepare: async (options) => ({
      subject: side(`${rules} rules`, options, "first", "1000", "fast", String(rules)),
      baselines: [side("10 rules", options, "first", "1000", "fast", "10")],
      end: nothing,
    }),
  };
}

export const MEMORY_CASES: readonly Case[] = [
  known(1000),
  known(100_000),
  known(1_000_000),
  balanced(1000),
  balanced(100_000),
  firstPackets(1000),
  knownUnderRules(10_000),
  manyRoutes(500_000, "known"),
  manyRoutes(500_000, "first"),
  twoWorkers("apart"),
  twoWorkers("half"),
  twoWorkers("crossing"),
  COLLECTIONS,
  {
    name: "memory: hand-off through a ring, 32 at a time",
    goals: "P10",
    unit: "ns/packet",
    prepare: async (options) => ({
      subject: {
        name: "ring",
        measure: async () => Number(await program("ring-run", options)),
      },
      baselines: [],
      end: nothing,
    }),
  },
];
