/** For tests: a data plane with real threads, on an address of the loopback device. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Report } from "@rhone/dataplane-worker/plan";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Generation } from "@rhone/tables/generation";
import { compile } from "./compile.ts";
import { Dataplane } from "./dataplane.ts";

/** An address and a port of this process alone. */
const { pid } = process;
const UNDERLAY = `127.${(pid >> 16) & 0xff}.${(pid >> 8) & 0xff}.${pid & 0xff}`;
let port = 20_000;

function tables(): Generation {
  const self = { name: "a", tunnelMtu: 1400, keys: null, workers: [], devices: new Map() };
  return compile(createMemoryStore("a").snapshot(), { ...self, ruleCounters: new Map() });
}

interface Lost {
  readonly worker: number;
  readonly message: string;
}

interface Started {
  readonly dataplane: Dataplane;
  readonly lost: Lost[];
  readonly reports: Report[];
}

/** Stopped after the test. */
export function start(t: TestContext, workers: number): Started {
  const lost: Lost[] = [];
  const reports: Report[] = [];
  const dataplane = new Dataplane({
    ...{ workers, workersMax: 4, connections: 1024, underlay: UNDERLAY, underlayPort: port++ },
    tables: tables(),
    onReport: (_, report) => reports.push(report),
    onWorkerLost: (worker, { message }) => lost.push({ worker, message }),
    onWorkerStarted: () => {},
  });
  t.after(() => dataplane.stop());
  return { dataplane, lost, reports };
}

export async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!isTrue()) {
    assert.ok(performance.now() < deadline, `expected ${what} within 20 s`);
    await sleep(5);
  }
}

/** Every slot is in one place: exact, once the workers that were told to end have ended. */
export async function assertAllSlots(dataplane: Dataplane): Promise<void> {
  const { slotCount } = dataplane.memory;
  const deadline = performance.now() + 20_000;
  let sum = await slotsFound(dataplane);
  while (sum !== slotCount && performance.now() < deadline) {
    await sleep(20);
    sum = await slotsFound(dataplane);
  }
  assert.equal(sum, slotCount);
}

async function slotsFound(dataplane: Dataplane): Promise<number> {
  const accounts = [...(await dataplane.accounts()).values()];
  let sum = dataplane.slotsWithNobody() + dataplane.memory.slotsInRings();
  for (const { free, returning, waiting, early, lent, expected } of accounts) {
    assert.equal(free + returning + waiting + early + lent, expected);
    sum += expected;
  }
  return sum;
}
