/**
 * What one seed does: how many chassis, which faults and how often, what users do. Each seed picks
 * some of the faults only: a fault that is always there hides what needs its absence (Groce et al.
 * 2012, "Swarm Testing").
 */
import { LINKS_MAX } from "../peer-link/peer-links.ts";
import type { FaultName } from "./faults.ts";
import type { Habits } from "./users.ts";
import type { World } from "./world.ts";

export interface Plan {
  readonly chassisCount: number;
  /** For how long things go wrong. */
  readonly stormMs: number;
  readonly delayMaxMs: number;
  readonly lossRate: number;
  readonly repeatRate: number;
  readonly reorderRate: number;
  /** Whether there are links beside NATS. */
  readonly hasLinks: boolean;
  /**
   * Whether the chassis have known each other for long when they start; else none has heard of any.
   */
  readonly isGrown: boolean;
  /** Whether chassis sign what they write, as members of a cluster do. */
  readonly isSigned: boolean;
  /** Whether promises are checked; where one only measures, nobody keeps books. */
  readonly isWatched: boolean;
  readonly habits: Habits;
  /** Gateways that users may make. */
  readonly gateways: readonly PlannedGateway[];
  /** Ports whose devices come and go. */
  readonly guestCount: number;
  /** Mean time between two things that happen to guests. */
  readonly guestMeanMs: number;
  /** Mean time between two faults of a kind. */
  readonly faults: ReadonlyMap<FaultName, number>;
}

/** Nobody starts more than that at once which never met. */
const GROWN_MIN = LINKS_MAX;
const FAULT_MEAN_MIN_MS = 1000;
const FAULT_MEAN_MAX_MS = 15_000;
const GUESTS_RATE = 0.6;
const GATEWAYS_RATE = 0.5;
/** Of two voters both may forward (docs/gateways.md). */
const VOTERS_MIN = 3;
const VOTERS_MAX = 5;
const GUESTS_MAX = 4;
const GUEST_MEAN_MIN_MS = 50;
const GUEST_MEAN_MAX_MS = 1000;

/** Who has a voice never changes: decision 25 gives such a change 10 s to be everywhere. */
export interface PlannedGateway {
  readonly name: string;
  readonly members: readonly string[];
  readonly witnesses: readonly string[];
}

export interface PlanOptions {
  readonly chassisMin: number;
  readonly chassisMax: number;
  readonly stormMs: number;
  readonly faults: readonly FaultName[];
  /** Whether there may be guests and gateways; default true. */
  readonly hasGuests?: boolean;
}

export function makePlan(world: World, options: PlanOptions): Plan {
  const { chassisMin, chassisMax, stormMs, faults, hasGuests = true } = options;
  const chassisCount = Math.floor(world.between(chassisMin, chassisMax + 1));
  const sometimes = (max: number): number => (world.chance(0.5) ? max * world.random() ** 2 : 0);
  return {
    chassisCount,
    stormMs: stormMs * world.between(0.5, 1.5),
    delayMaxMs: world.chance(0.7) ? world.between(0.5, 5) : world.between(5, 150),
    lossRate: sometimes(0.6),
    repeatRate: sometimes(0.5),
    reorderRate: sometimes(0.5),
    hasLinks: world.chance(0.7) && chassisCount <= LINKS_MAX,
    isSigned: world.chance(0.7),
    isGrown: chassisCount > GROWN_MIN,
    isWatched: true,
    habits: {
      meanMs: logUniform(world, 100, 2000),
      names: Math.floor(logUniform(world, 2, 12)),
      deleteRate: world.between(0, 0.5),
      portRate: world.between(0, 0.3),
      ruleRate: world.between(0, 0.3),
      manyRate: sometimes(0.5),
      soleRate: world.between(0, 0.5),
    },
    faults: new Map(
      faults
        .filter(() => world.chance(0.4))
        .map((name) => [name, logUniform(world, FAULT_MEAN_MIN_MS, FAULT_MEAN_MAX_MS)]),
    ),
    guestCount:
      hasGuests && world.chance(GUESTS_RATE) ? 1 + Math.floor(world.random() * GUESTS_MAX) : 0,
    guestMeanMs: logUniform(world, GUEST_MEAN_MIN_MS, GUEST_MEAN_MAX_MS),
    gateways: hasGuests ? planGateways(world, chassisCount) : [],
  };
}

function planGateways(world: World, chassisCount: number): PlannedGateway[] {
  const count =
    chassisCount >= VOTERS_MIN && world.chance(GATEWAYS_RATE) ? 1 + world.random() * 2 : 0;
  return Array.from({ length: count }, (_, number) => {
    const names = Array.from({ length: chassisCount }, (_, index) => `c${index}`);
    const shuffled = names
      .map((name) => ({ name, rank: world.random() }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ name }) => name);
    const most = Math.min(VOTERS_MAX, chassisCount);
    const voters = shuffled.slice(0, Math.floor(world.between(VOTERS_MIN, most + 1)));
    const memberCount = Math.floor(world.between(2, voters.length + 1));
    const [members, witnesses] = [voters.slice(0, memberCount), voters.slice(memberCount)];
    return { name: `gw${number}`, members, witnesses };
  });
}

function logUniform(world: World, min: number, max: number): number {
  return min * (max / min) ** world.random();
}
