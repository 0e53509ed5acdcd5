/**
 * Inflicts one fault under load and measures what it did: datagrams and TCP streams from one
 * workload to those at the two other chassis, and writes to chassis, acknowledged one by one.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { socketLosses, withFlows } from "../flows.ts";
import { dropsOf, frameLosses } from "../lab-fixture.ts";
import { until } from "../until.ts";
import { untilNats, untilWhole } from "./partition.ts";
import { CHASSIS, type Rig, WORKLOADS } from "./rig.ts";
import { missingAt, Writer } from "./writer.ts";

export type Fault = Harm & (Plain | Arranged);

interface Harm {
  /** Of the matrix in docs/faults.md. */
  readonly row: number;
  readonly name: string;
  /** Whether packets that were under way may be lost with it. */
  readonly mayLose: boolean;
  /** Chassis that are written to meanwhile. */
  readonly writeTo: readonly (typeof CHASSIS)[number][];
  /** Why it cannot be done here; "" when it can. */
  readonly obstacle?: (rig: Rig) => string;
  /** Whether the lab is of no use to others afterwards. */
  readonly spoilsLab?: true;
  /** Whether the nats-servers of the lab have hubs. */
  readonly hasHubs?: true;
  /**
   * Waits, after the fault, for what may come later than that all hold the same; resolves with what
   * there is to say. `endMs` is when the fault ended.
   */
  readonly afterwards?: (rig: Rig, endMs: number) => Promise<string>;
}

interface Plain {
  /**
   * Does harm and ends it; throws when what must hold meanwhile does not. Resolves with what else
   * there is to say.
   */
  readonly inflict: (rig: Rig) => Promise<string>;
}

interface Arranged {
  /** What has to be done before, and put right afterwards, is no part of the fault. */
  readonly arrange: (rig: Rig) => Promise<Arrangement>;
}

export interface Arrangement {
  readonly inflict: () => Promise<string>;
  /** Called whatever happened. */
  readonly restore: () => Promise<void>;
}

export interface Outcome {
  /** Longest time without an answer, of the flow that had to wait longest. */
  readonly gapMs: number;
  readonly sent: number;
  /** Datagrams without an answer, less those that the machine's kernel had no room for. */
  readonly lost: number;
  readonly writes: number;
  /** Acknowledged, and missing at a chassis. */
  readonly lostWrites: number;
  /** From the end of the fault until all say that the others live, and hold the same. */
  readonly convergedMs: number;
  readonly note: string;
}

/** Ten answers of each flow in 100 ms. */
const LOAD = { from: "vm1", to: ["10.0.1.11", "10.0.1.12"], flows: 4, rate: 800 };
const WARM_UP_MS = 700;
const ADOPTED_MS = 20_000;

/** Throws when something was lost that must not be. */
export async function runFault(rig: Rig, fault: Fault): Promise<Outcome> {
  await untilNats(rig.fixture);
  await untilWhole(rig.fixture);
  if ("inflict" in fault) {
    const restore = async (): Promise<void> => {};
    return measure(rig, fault, { inflict: () => fault.inflict(rig), restore });
  }
  const arrangement = await fault.arrange(rig);
  try {
    await untilNats(rig.fixture);
    await untilWhole(rig.fixture);
    return await measure(rig, fault, arrangement);
  } finally {
    await arrangement.restore();
  }
}

async function measure(rig: Rig, fault: Fault, { inflict }: Arrangement): Promise<Outcome> {
  const { fixture } = rig;
  const writers = fault.writeTo.map((name) => new Writer(fixture.chassis(name)));
  const roomBefore = await lossesForWantOfRoom(rig);
  const dropsBefore = await dropsByReason(rig);
  let convergedMs = 0;
  const notes: string[] = [];
  const report = await withFlows(fixture, LOAD, async () => {
    await sleep(WARM_UP_MS);
    notes.push(await inflict());
    const endMs = performance.now();
    await Promise.all(writers.map((writer) => writer.stop()));
    convergedMs = await untilWhole(fixture);
    notes.push((await fault.afterwards?.(rig, endMs)) ?? "");
  }).finally(() => Promise.all(writers.map((writer) => writer.stop())));
  const acknowledged = writers.flatMap((writer) => writer.acknowledged);
  const lostWrites = await missingAnywhere(rig, acknowledged);
  const { sent, received, tcp, flowGapMs } = report;
  const roomless = (await lossesForWantOfRoom(rig)) - roomBefore;
  const lost = Math.max(0, sent - received - Math.max(0, roomless));
  const room = roomless > 0 ? `${roomless} datagrams or frames found no room in the kernel` : "";
  const refused = writers.flatMap((writer) => [...writer.refused]);
  const outcome = {
    ...{ gapMs: flowGapMs, sent, lost, writes: acknowledged.length, lostWrites, convergedMs },
    note: [
      ...notes,
      ...refused.map(([status, times]) => `${times} writes answered ${status}`),
      room,
    ]
      .filter((text) => text !== "")
      .join("; "),
  };
  const dropped = Object.entries(await dropsByReason(rig))
    .map(([reason, count]) => [reason, count - (dropsBefore[reason] ?? 0)] as const)
    .filter(([, count]) => count !== 0);
  const told = JSON.stringify({ ...outcome, tcp, dropped });
  for (const { failure } of tcp) expect(failure === "", `a connection failed: ${told}`);
  expect(lostWrites === 0, `acknowledged writes are missing: ${told}`);
  expect(fault.mayLose || lost === 0, `packets were lost: ${told}`);
  return outcome;
}

export function expect(isTrue: boolean, message: string): asserts isTrue {
  if (!isTrue) throw new Error(message);
}

/** What nobody but a busy machine lost: at sockets, of the tunnel too, and in front of devices. */
async function lossesForWantOfRoom({ fixture }: Rig): Promise<number> {
  const views = await Promise.all(CHASSIS.map((name) => fixture.counters(name)));
  const overruns = views.reduce((sum, view) => sum + dropsOf(view, "device-overrun"), 0);
  return overruns + frameLosses() + (await socketLosses(fixture, [...WORKLOADS, ...CHASSIS]));
}

/** What chassis say that they have dropped, by chassis and reason. */
async function dropsByReason({ fixture }: Rig): Promise<Readonly<Record<string, number>>> {
  const lists = CHASSIS.map(async (name) => {
    const { drops } = await fixture.counters(name);
    return drops.map(({ reason, packets }) => [`${name} ${reason}`, packets] as const);
  });
  return Object.fromEntries((await Promise.all(lists)).flat());
}

async function missingAnywhere({ fixture }: Rig, names: readonly string[]): Promise<number> {
  const missing = async (): Promise<number> => {
    const lists = CHASSIS.map((name) => missingAt(fixture.chassis(name), names));
    return new Set((await Promise.all(lists)).flat()).size;
  };
  // The last of them may still be on their way.
  await until(
    "every write at every chassis",
    async () => (await missing()) === 0,
    ADOPTED_MS,
  ).catch(() => {});
  return missing();
}
