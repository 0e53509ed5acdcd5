/** Runs one seed and says how it went. */
import process from "node:process";
import { heartbeatPauseMs } from "../pace.ts";
import { INTERVAL_MS } from "../replicator.ts";
import type { Seams } from "./chassis.ts";
import { FAULT_NAMES } from "./faults.ts";
import { grow } from "./grown.ts";
import type { Violation } from "./oracle.ts";
import type { PassageCounts } from "./passage.ts";
import { makePlan, type Plan, type PlanOptions } from "./plan.ts";
import { Simulation, type Tally } from "./simulation.ts";
import { World } from "./world.ts";

/** After the storm, all have to hold the same within that time. */
export const AGREE_MAX_MS = 10_000;
/** And to hold each other for alive. */
const ALIVE_MAX_MS = 60_000;
/** And to forward for each gateway: a member that asked in vain rests, links are dialed anew. */
const TAKEN_MAX_MS = 60_000;
/** What a peer said before may still lead to fetches for that long; then there are none. */
const LATE_MS = 3000;
const REST_MS = 2000;
const STEP_MS = 20;

const CHASSIS_MIN = 3;
const CHASSIS_MAX = 20;
const STORM_MS = 20_000;

export interface RunOptions extends Partial<PlanOptions> {
  readonly seed: number;
  readonly seams?: Seams;
  readonly onLine?: (line: string) => void;
}

export interface Outcome {
  readonly seed: number;
  readonly options: PlanOptions;
  readonly plan: Plan;
  readonly violation: Violation | null;
  /** Virtual time from the end of the storm until all held the same. */
  readonly agreeMs: number;
  readonly aliveMs: number;
  /** Of each write, virtual time until all that run held it. */
  readonly spreadMs: readonly number[];
  readonly virtualMs: number;
  readonly eventCount: number;
  readonly ackCount: number;
  readonly excusedCount: number;
  readonly tally: Tally;
  /** null where nobody looked at packets. */
  readonly passage: PassageCounts | null;
  /** SHA-256 of the log of all that happened. */
  readonly digest: string;
}

export async function runSeed(options: RunOptions): Promise<Outcome> {
  const { seed, seams = {}, onLine, hasGuests = true } = options;
  const world = new World(seed, onLine);
  const planned = {
    chassisMin: options.chassisMin ?? CHASSIS_MIN,
    chassisMax: options.chassisMax ?? CHASSIS_MAX,
    stormMs: options.stormMs ?? STORM_MS,
    ...{ faults: options.faults ?? FAULT_NAMES, hasGuests },
  };
  const plan = makePlan(world, planned);
  const simulation = new Simulation(world, plan, seams);
  if (plan.isGrown) grow(simulation);
  const { oracle } = simulation;
  const isOver = (): boolean => {
    simulation.gateways?.look();
    return oracle.violation !== null;
  };
  const threw = (error: unknown): void => {
    oracle.fail("threw", error instanceof Error ? (error.stack ?? error.message) : String(error));
  };
  let [agreeMs, aliveMs] = [0, 0];
  process.on("unhandledRejection", threw);
  try {
    await world.run(plan.stormMs, isOver);
    if (!isOver()) simulation.calm();
    const calmMs = world.nowMs;
    const until = async (isSo: () => boolean, maxMs: number): Promise<number> => {
      while (!isOver() && !isSo() && world.nowMs - calmMs < maxMs) {
        await world.run(world.nowMs + STEP_MS, isOver);
      }
      return world.nowMs - calmMs;
    };
    agreeMs = await until(() => simulation.areSame, AGREE_MAX_MS);
    if (!isOver()) simulation.checkEnd();
    const expect = async (isSo: () => boolean, maxMs: number, not: string): Promise<number> => {
      const ms = await until(isSo, maxMs);
      if (!isOver() && !isSo()) oracle.fail("apart", `${not} after ${maxMs} ms`);
      return ms;
    };
    aliveMs = await expect(() => simulation.allAlive, ALIVE_MAX_MS, "not all hold all for alive");
    const saidMaxMs = saidWithinMs(plan.chassisCount);
    await expect(() => simulation.allSayTheSame, saidMaxMs, "not all say that all hold the same");
    const isSettled = () => simulation.gatewaysSettled;
    await expect(isSettled, TAKEN_MAX_MS, "nobody forwards for a gateway");
    await world.run(world.nowMs + LATE_MS, isOver);
    const { pullCount } = simulation;
    await world.run(world.nowMs + REST_MS, isOver);
    const pulled = simulation.pullCount - pullCount;
    if (pulled > 0) oracle.fail("unbounded", `${pulled} fetches while all hold the same`);
    if (!isOver()) simulation.checkEnd();
    if (!isOver()) simulation.checkClaims();
  } catch (error) {
    threw(error);
  } finally {
    process.off("unhandledRejection", threw);
  }
  const { violation, ackCount, excusedCount } = oracle;
  const { nowMs: virtualMs, eventCount, digest } = world;
  return {
    ...{
      seed,
      options: planned,
      plan,
      violation,
      agreeMs,
      aliveMs,
      virtualMs,
      eventCount,
      ackCount,
      excusedCount,
    },
    ...{ tally: simulation.tally, spreadMs: simulation.spread.allMs, digest },
    passage: simulation.passage?.counts ?? null,
  };
}

/** All have to say of each other that they hold the same: heartbeats of many are seldom. */
function saidWithinMs(chassisCount: number): number {
  return ALIVE_MAX_MS + heartbeatPauseMs(INTERVAL_MS, chassisCount - 1, 1);
}

/** The command that does the same again. */
export function replay({ seed, options }: Pick<Outcome, "seed" | "options">): string {
  const { chassisMin, chassisMax, stormMs, faults } = options;
  const chassis = chassisMin === chassisMax ? chassisMin : `${chassisMin}-${chassisMax}`;
  const isDefault = faults.join() === FAULT_NAMES.join();
  const chosen = isDefault ? "" : ` --faults ${faults.join()}`;
  return `npm run sim -- --seed ${seed} --chassis ${chassis} --storm ${stormMs / 1000}${chosen}`;
}
