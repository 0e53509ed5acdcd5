/**
 * A workload on a TAP device, which has a queue for each worker that there may ever be: workers
 * come and go under traffic, and the queues change hands. Nothing is lost or overtakes itself.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { WorkersView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { socketLosses, withFlows } from "../flows.ts";
import { type StreamReport, withStreams } from "../iperf.ts";
import { frameLosses, useLab } from "../lab-fixture.ts";
import { TapWorkload } from "../tap-workload.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 240_000 };
const DEVICE = "tap1";
/** As many as workers may be: 4 where nobody says otherwise. */
const QUEUES = 4;
const FLOWS = 200;
const LOAD = { from: "vm1", to: ["10.0.1.11", "10.0.1.12"], flows: FLOWS, rate: 1500 };
const STREAMS = [
  { from: "vm1", to: "vm2", address: "10.0.1.11", megabitsPerSecond: 20 },
  { from: "vm3", to: "vm1", address: "10.0.1.10", megabitsPerSecond: 20 },
];
/** What a worker drops when the machine does not let it run; each packet is counted. */
const STARVED = [
  "device-overrun",
  "device-full",
  "ring-full",
  "hand-over-full",
  "stamp-generation",
];
/** A machine that is busy with something else needs so long to start workers. */
const SCALE_LIMIT_MS = 60_000;

const lab = labOf({
  name: "tap-ports",
  chassis: ["a", "b"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "a", addresses: ["10.0.1.11"] },
    { name: "vm3", switch: "s", chassis: "b", addresses: ["10.0.1.12"] },
  ],
});
const fixture = useLab("tap-ports", { lab, workers: 1 });

const client = () => fixture.chassis("a").client;
const tap = new TapWorkload(fixture, "a", "vm1", DEVICE);

async function scale(workers: number): Promise<void> {
  const path = "/v1/chassis/a/dataplane";
  succeeded(await client().request("PUT", path, { body: { workers } }));
  const isThere = async () => {
    const view = await client().get<WorkersView>("/v1/workers");
    return view.workers.length === workers && view.settled;
  };
  await until(`${workers} workers`, isThere, SCALE_LIMIT_MS);
}

/** Packets that chassis have dropped by now: as they were starved, and for any other reason. */
async function drops(): Promise<{ readonly starved: number; readonly other: number }> {
  const views = await Promise.all(["a", "b"].map((name) => fixture.counters(name)));
  const all = views.flatMap((view) => view.drops);
  const isStarved = ({ reason }: { readonly reason: string }) => STARVED.includes(reason);
  const sum = (list: readonly { readonly packets: number }[]): number =>
    list.reduce((total, { packets }) => total + packets, 0);
  return {
    starved: sum(all.filter(isStarved)),
    other: sum(all.filter((drop) => !isStarved(drop))),
  };
}

test("a TAP device has a queue for each worker, whoever serves it", LIMIT, async () => {
  await tap.give();
  await until("all queues", async () => (await tap.queues()).flat().length === QUEUES);
  for (const workers of [4, 2, 1]) {
    await scale(workers);
    const held = await tap.queues();
    const names = [DEVICE, ...[1, 2, 3].map((number) => `${DEVICE} queue ${number}`)];
    assert.deepEqual(held.flat().sort(), names);
    assert.ok(held.length === workers);
    const { stdout } = await fixture.run("vm1", "ping", "-c", "3", "-i", "0.1", "10.0.1.12");
    assert.match(stdout, /3 received/);
  }
});

test("1 → 4 → 2 workers, and not a packet is lost or out of order", LIMIT, async (t) => {
  await fixture.keepOrder();
  const workloads = ["vm1", "vm2", "vm3"];
  for (const workload of workloads) await fixture.agent(workload);
  const counted = async () => frameLosses() + (await drops()).starved + (await tap.losses());
  const lossesBefore = await socketLosses(fixture, workloads);
  const framesBefore = await counted();
  let report: StreamReport;
  const { sent, received, reordered, tcp } = await withFlows(fixture, LOAD, async () => {
    report = await withStreams(fixture, STREAMS, async (goOn) => {
      await sleep(1000);
      const { other } = await drops();
      for (const workers of [4, 2]) {
        await scale(workers);
        await goOn();
        await sleep(1000);
      }
      assert.equal((await drops()).other, other);
    });
  });
  const missed = (await socketLosses(fixture, workloads)) - lossesBefore;
  const told = JSON.stringify({ sent, received, reordered, missed, tcp, report: report! });
  assert.ok(sent > 2 * FLOWS, told);
  assert.equal(reordered, 0, told);
  for (const { bytes, failure } of [...tcp, ...report!.streams]) {
    assert.equal(failure, "", told);
    assert.ok(bytes > 100_000, told);
  }
  assert.equal(report!.tcp.resets, 0, told);
  const frames = (await counted()) - framesBefore;
  const lost = sent - received - missed;
  assert.ok(lost >= 0 && lost <= frames, `${lost} lost, ${frames} counted: ${told}`);
  if (frames + missed === 0) assert.equal(report!.tcp.outOfOrder, 0, told);
  else t.diagnostic(`lost: ${frames} frames for want of time, ${missed} datagrams at a socket`);
});

test("every queue goes with its device, and no slot with it", LIMIT, async () => {
  await tap.place({});
  await until("no queue", async () => (await tap.queues()).flat().length === 0);
  const { stdout } = await fixture.run("vm1", "ip", "-o", "link", "show", "type", "tun");
  assert.equal(stdout, "");
  await until("every slot to be somewhere", async () => {
    const { slots } = await client().get<WorkersView>("/v1/workers");
    const { total, unaccounted, ...parts } = slots;
    assert.equal(unaccounted, 0);
    return Object.values(parts).reduce((all, part) => all + part, 0) === total;
  });
});
