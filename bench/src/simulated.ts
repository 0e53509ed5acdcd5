/**
 * What chassis need to agree when there are a hundred or a thousand of them: the shipped classes in
 * one process, on virtual time (docs/simulation.md). What a machine takes for it does not count.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { MeasuredCluster, type WriteTimes } from "@rhone/gossip/measured-cluster";
import type { Case } from "./case.ts";
import type { Wish } from "./simulated-thread.ts";
import { percentile } from "./statistics.ts";

/** Of one measurement. */
const WRITES = 40;
const PAUSE_MS = 100;
/** Of a thousand chassis, where each takes some seconds of a processor. */
const FEW_WRITES = 4;
const SHORT_PAUSE_MS = 25;
const resourceLimits = { maxOldGenerationSizeMb: 7168, maxYoungGenerationSizeMb: 256 };
const LOSS_RATE = 0.01;
const HEAVY_LOSS_RATE = 0.2;
const DEAD_PART = 0.1;
const UPDATES_PER_SECOND = 100;
const TRAFFIC_COUNT = 100;

/** Times of all rounds, and what is said of them. */
class Times {
  readonly #allMs: number[] = [];
  readonly #eachMs: number[] = [];

  /** Returns the median of these. */
  add({ allMs, eachMs }: WriteTimes): number {
    this.#allMs.push(...allMs);
    for (const ms of eachMs) this.#eachMs.push(ms);
    return percentile(allMs, 0.5);
  }

  remarks(goals: string, conditions: string): readonly string[] {
    const p99 = percentile(this.#allMs, 0.99).toFixed(1);
    const [half, most] = [0.5, 0.99].map((part) => percentile(this.#eachMs, part).toFixed(1));
    return [
      `${this.#allMs.length} writes, p99 ${p99} ms; ${goals}`,
      `of single chassis half hold it after ${half} ms, 99 of 100 after ${most} ms`,
      `${conditions}; virtual time from the answer on, 0.2 to 1 ms a message, signed`,
    ];
  }
}

/** Each round has a cluster of its own. */
function heldByHundred(lossRate: number, deadCount: number, name: string, goals: string): Case {
  const chassisCount = 100;
  return {
    name: `convergence: a write is held by all of ${chassisCount}${name}, simulated`,
    goals: "control",
    unit: "ms",
    prepare: async () => {
      const times = new Times();
      let seed = 1;
      const measure = async (): Promise<number> => {
        const cluster = await MeasuredCluster.start({ chassisCount, lossRate, seed: seed++ });
        cluster.kill(deadCount);
        return times.add(await cluster.writes(WRITES, PAUSE_MS));
      };
      const conditions = `${lossRate * 100} % of messages lost, ${deadCount} chassis dead`;
      return {
        subject: { name: "half of the writes", measure },
        baselines: [],
        remarks: () => times.remarks(goals, conditions),
        end: async () => {},
      };
    },
  };
}

const HELD_BY_THOUSAND: Case = {
  name: "convergence: a write is held by all of 1000, simulated",
  goals: "control",
  unit: "ms",
  isLong: true,
  prepare: async () => {
    const times = new Times();
    const workerData = { chassisCount: 1000, lossRate: LOSS_RATE, seed: 1 };
    const url = new URL("./simulated-thread.ts", import.meta.url);
    const thread = new Worker(url, { workerData, resourceLimits });
    await once(thread, "message");
    const writes = async (wish: Wish): Promise<WriteTimes> => {
      thread.postMessage(wish);
      return (await once(thread, "message"))[0] as WriteTimes;
    };
    return {
      subject: {
        name: "half of the writes",
        measure: async () => times.add(await writes([FEW_WRITES, SHORT_PAUSE_MS])),
      },
      baselines: [],
      remarks: () => times.remarks("must 1,000, moonshot 100", "1 % of messages lost"),
      end: async () => void (await thread.terminate()),
    };
  },
};

const SAID_BY_HUNDRED: Case = {
  name: `convergence: what ${TRAFFIC_COUNT} chassis say to each other, simulated`,
  goals: "control",
  unit: "B/s/chassis",
  prepare: async ({ seconds }) => {
    const start = { chassisCount: TRAFFIC_COUNT, lossRate: 0, seed: 1 };
    const cluster = await MeasuredCluster.start(start);
    return {
      subject: {
        name: `${UPDATES_PER_SECOND} changes a second`,
        measure: () => cluster.traffic(UPDATES_PER_SECOND, seconds),
      },
      baselines: [{ name: "idle", measure: () => cluster.traffic(0, seconds * 10) }],
      remarks: () => [
        "must 100,000 and 5,000 idle, moonshot 25,000 and 2,000",
        "said and heard: subjects and data, without what NATS, TLS and TCP add to them",
        "what is said to all counts once where it is said",
      ],
      end: async () => {},
    };
  },
};

export const SIMULATED_CASES: readonly Case[] = [
  heldByHundred(LOSS_RATE, 0, "", "must 250, moonshot 60"),
  heldByHundred(
    HEAVY_LOSS_RATE,
    100 * DEAD_PART,
    " with loss and dead",
    "must 5,000, moonshot 1,000, and 50 for 99 of 100 chassis",
  ),
  SAID_BY_HUNDRED,
  HELD_BY_THOUSAND,
];
