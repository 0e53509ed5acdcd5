/**
 * Measures a simulated cluster in which nothing goes wrong but what the options say: how long
 * writes take, and what chassis say to each other. Time is virtual: the machine does not matter.
 */
import { grow } from "./grown.ts";
import type { Machine } from "./machine.ts";
import type { Plan } from "./plan.ts";
import { Simulation } from "./simulation.ts";
import { World } from "./world.ts";

export interface MeasuredOptions {
  readonly chassisCount: number;
  /** Of messages, 0–1. */
  readonly lossRate: number;
  readonly seed: number;
}

/** Of writes, virtual milliseconds from the answer. */
export interface WriteTimes {
  /** Until all that run hold it; one a write. */
  readonly allMs: readonly number[];
  /** Until one of the others holds it; one a write and chassis. */
  readonly eachMs: readonly number[];
}

const NO_HABITS: Plan["habits"] = {
  ...{ meanMs: Number.POSITIVE_INFINITY, names: 1, deleteRate: 0, portRate: 0, ruleRate: 0 },
  ...{ manyRate: 0, soleRate: 0 },
};
/** Until all have started. What they say until then is lost, since they have known each other. */
const START_MS = 1100;
/** Until all have heard of each other after that. */
const SETTLE_MS = 1900;
/** What is not held everywhere by then is not waited for. */
const HELD_MAX_MS = 60_000;
const STEP_MS = 20;
/** Names that writes are about, in turn. */
const NAMES = 64;
const DELAY_MAX_MS = 1;

export class MeasuredCluster {
  readonly #world: World;
  readonly #simulation: Simulation;
  readonly #lossRate: number;
  #writeCount = 0;

  private constructor({ chassisCount, lossRate, seed }: MeasuredOptions) {
    this.#world = new World(seed);
    this.#lossRate = lossRate;
    const plan: Plan = {
      ...{ chassisCount, stormMs: Number.POSITIVE_INFINITY, delayMaxMs: DELAY_MAX_MS, lossRate: 0 },
      ...{ repeatRate: 0, reorderRate: 0, hasLinks: false, isSigned: true, isGrown: true },
      ...{ habits: NO_HABITS, faults: new Map(), isWatched: false },
      ...{ gateways: [], guestCount: 0, guestMeanMs: Number.POSITIVE_INFINITY },
    };
    this.#simulation = new Simulation(this.#world, plan, {});
    grow(this.#simulation);
  }

  /** A cluster of which all chassis run and hold the same. */
  static async start(options: MeasuredOptions): Promise<MeasuredCluster> {
    const cluster = new MeasuredCluster(options);
    const { nats } = cluster.#simulation;
    nats.lossRate = 1;
    await cluster.#pass(START_MS);
    nats.lossRate = 0;
    await cluster.#pass(SETTLE_MS);
    nats.lossRate = cluster.#lossRate;
    return cluster;
  }

  /** Kills so many; the others find out by themselves. */
  kill(count: number): void {
    for (const machine of this.#running().slice(0, count)) this.#simulation.kill(machine);
  }

  /** Each write at another chassis, `pauseMs` after the one before. */
  async writes(count: number, pauseMs: number): Promise<WriteTimes> {
    const { spread } = this.#simulation;
    const [allBefore, eachBefore] = [spread.allMs.length, spread.eachMs.length];
    for (let i = 0; i < count; i++) {
      this.#write();
      await this.#pass(pauseMs);
    }
    const endMs = this.#world.nowMs + HELD_MAX_MS;
    while (spread.unheldCount > 0) {
      if (this.#world.nowMs > endMs) throw new Error(`not held at all after ${HELD_MAX_MS} ms`);
      await this.#pass(STEP_MS);
    }
    return { allMs: spread.allMs.slice(allBefore), eachMs: spread.eachMs.slice(eachBefore) };
  }

  /**
   * Bytes that a chassis says and hears in a second: subjects and data, what it says to many once.
   */
  async traffic(writesPerSecond: number, seconds: number): Promise<number> {
    const { nats } = this.#simulation;
    const before = nats.saidSize + nats.heardSize;
    const count = Math.max(1, writesPerSecond * seconds);
    for (let i = 0; i < count; i++) {
      if (writesPerSecond > 0) this.#write();
      await this.#pass((seconds * 1000) / count);
    }
    const size = nats.saidSize + nats.heardSize - before;
    return size / seconds / this.#simulation.machines.length;
  }

  #write(): void {
    const running = this.#running();
    const number = this.#writeCount++;
    const document = {
      ...{ kind: "switch", name: `s${number % NAMES}`, description: `written as number ${number}` },
    };
    const machine = running[(number * 7) % running.length]!;
    this.#simulation.ask(machine, [{ op: "put", document }]);
  }

  #running(): readonly Machine[] {
    return this.#simulation.machines.filter(({ process }) => process !== null);
  }

  async #pass(durationMs: number): Promise<void> {
    const { oracle } = this.#simulation;
    const isOver = (): boolean => oracle.violation !== null;
    await this.#world.run(this.#world.nowMs + durationMs, isOver);
    if (oracle.violation === null) return;
    throw new Error(`${oracle.violation.kind}: ${oracle.violation.message}`);
  }
}
