/**
 * S55: workers come and go under traffic, 1 → 4 → 2, on both chassis of the flows. Nothing is lost,
 * no flow overtakes itself, connections live on.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CountersView, WorkersView } from "@rhone/api/context";
import { runOrThrow } from "@rhone/cli/run";
import { runtimeCommand, scriptPath } from "@rhone/cli/runtime";
import { socketLosses, withFlows } from "../flows.ts";
import { type StreamReport, withStreams } from "../iperf.ts";
import { dropsOf, frameLosses, useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";

const LIMIT = { timeout: 240_000 };
const WORKLOADS = ["vm1", "vm2", "vm3"] as const;
const CHASSIS = ["a", "b"] as const;
/** To each of two workloads: one on the same chassis, one on the other. */
const FLOWS = 500;
/** Two processors carry it with all that belongs to it, and do not notice. */
const LOAD = { from: "vm1", to: ["10.0.1.11", "10.0.1.12"], flows: FLOWS, rate: 4000 };
/** For what is still under way when all has ended. */
const LOOK_MS = 50;
const LOOKS_MAX = 100;
const STREAMS = [
  { from: "vm1", to: "vm2", address: "10.0.1.11", megabitsPerSecond: 40 },
  { from: "vm1", to: "vm3", address: "10.0.1.12", megabitsPerSecond: 40 },
];

const lab = labOf({
  name: "s55",
  chassis: CHASSIS,
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "a", addresses: ["10.0.1.11"] },
    { name: "vm3", switch: "s", chassis: "b", addresses: ["10.0.1.12"] },
  ],
});
const fixture = useLab("s55", { lab, workers: 1 });

/** As an operator does; returns when everything has its place. */
async function scale(chassis: string, workers: number): Promise<void> {
  const { client } = fixture.running.chassis.find(
    ({ process }) => process.name === chassis,
  )!.process;
  const command = [...runtimeCommand("node"), scriptPath("./main.ts"), "--server", client.server];
  await runOrThrow([...command, "dataplane", "scale", String(workers), "--wait"]);
  const view = await client.get<WorkersView>("/v1/workers");
  assert.equal(view.workers.length, workers, JSON.stringify(view));
}

/** What the chassis have dropped so far, by chassis and reason. */
async function drops(): Promise<Record<string, CountersView["drops"]>> {
  const counts = CHASSIS.map(async (name) => [name, (await fixture.counters(name)).drops]);
  return Object.fromEntries(await Promise.all(counts));
}

/** What they have dropped for want of processor time, while the flows began. */
async function overruns(): Promise<number> {
  const views = await Promise.all(CHASSIS.map((name) => fixture.counters(name)));
  return views.reduce((sum, view) => sum + dropsOf(view, "device-overrun"), 0);
}

test("S55: 1 → 4 → 2 workers, and not a packet is lost or out of order", LIMIT, async (t) => {
  await fixture.keepOrder();
  for (const workload of WORKLOADS) await fixture.agent(workload);
  const lossesBefore = await socketLosses(fixture, WORKLOADS);
  const framesBefore = frameLosses() + (await overruns());
  let report: StreamReport;
  const { sent, received, reordered, tcp } = await withFlows(fixture, LOAD, async () => {
    report = await withStreams(fixture, STREAMS, async (goOn) => {
      await sleep(1000); // Every flow is known.
      const dropsBefore = await drops();
      for (const workers of [4, 2]) {
        for (const chassis of CHASSIS) await scale(chassis, workers);
        await goOn();
        await sleep(1000);
      }
      assert.deepEqual(await drops(), dropsBefore);
    });
  });
  const missed = (await socketLosses(fixture, WORKLOADS)) - lossesBefore;
  const told = JSON.stringify({ sent, received, reordered, missed, tcp, report: report! });
  assert.ok(sent > 2 * FLOWS, told);
  assert.equal(reordered, 0, told);
  for (const { bytes, failure } of tcp) {
    assert.equal(failure, "", told);
    assert.ok(bytes > 100_000, told);
  }
  for (const { bytes, failure } of report!.streams) {
    assert.equal(failure, "", told);
    assert.ok(bytes > 1_000_000, told);
  }
  assert.equal(report!.tcp.resets, 0, told);
  // The machine was too busy to begin with; while workers came and went, no chassis dropped any.
  const frames = frameLosses() + (await overruns()) - framesBefore;
  const lost = sent - received - missed;
  assert.ok(lost >= 0 && lost <= frames, `${lost} lost, ${frames} counted: ${told}`);
  // What the kernel drops for want of time, TCP sends again, and that comes out of order.
  if (frames + missed === 0) assert.equal(report!.tcp.outOfOrder, 0, told);
  else t.diagnostic(`lost: ${frames} frames in front of a device, ${missed} datagrams at a socket`);
});

test("S55: afterwards every slot is where it should be", LIMIT, async () => {
  for (const { process } of fixture.running.chassis) {
    let misplaced = Number.NaN;
    // The workers say one after the other what they have; a packet may travel meanwhile.
    for (let look = 0; look < LOOKS_MAX && misplaced !== 0; look++) {
      const { slots } = await process.client.get<WorkersView>("/v1/workers");
      const { total, unaccounted, ...parts } = slots;
      assert.equal(unaccounted, 0);
      misplaced = total - Object.values(parts).reduce((all, part) => all + part, 0);
      await sleep(LOOK_MS);
    }
    assert.equal(misplaced, 0, process.name);
  }
});
