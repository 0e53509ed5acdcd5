/**
 * A workload on a TAP device, which has a queue for each worker that there may ever be: workers
 * come and go under traffic, and the queues change hands. Nothing is lost or overtakes itself.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { PortStatusView, WorkersView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { runOrThrow } from "@rhone/cli/run";
import { socketLosses, withFlows } from "../flows.ts";
import { type StreamReport, withStreams } from "../iperf.ts";
import { frameLosses, useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 240_000 };
const MTU = "1418";
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

async function isUp(): Promise<boolean> {
  const { status } = await client().get<{ status: PortStatusView }>("/v1/ports/vm1");
  return status.up;
}

/** The queues of the TAP device that each worker has, the first one by the device's name. */
async function queues(): Promise<string[][]> {
  const { workers } = await client().get<WorkersView>("/v1/workers");
  return workers.map(({ devices }) => devices.filter((name) => name.startsWith(DEVICE)).sort());
}

async function attach(place: object): Promise<void> {
  const { mac } = lab.workloads[0]!;
  const port = { switch: "s", mac, addresses: ["10.0.1.10"], ...place };
  succeeded(await client().request("PUT", "/v1/ports/vm1?wait=applied", { body: port }));
}

/** The chassis makes the device; it becomes the workload's in place of the end of a cable. */
async function giveTap(): Promise<void> {
  await attach({ chassis: "a", device: DEVICE, driver: "tap" });
  await until("the device is open", isUp);
  const [ours, theirs] = [fixture.chassis("a").namespace, fixture.running.namespaceOf("vm1")];
  const { mac, addresses } = lab.workloads[0]!;
  const { address, prefixLength } = addresses[0]!;
  await runOrThrow(["ip", "-n", ours, "link", "set", DEVICE, "netns", theirs]);
  await runOrThrow(["ip", "-n", theirs, "-batch", "-"], {
    input: [
      "link del eth0",
      `link set ${DEVICE} name eth0 address ${mac} mtu ${MTU} txqueuelen 10000`,
      "link set eth0 up",
      `address add ${address}/${prefixLength} dev eth0`,
      "",
    ].join("\n"),
  });
}

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

/** Frames that the kernel had no room for on their way from the workload. */
async function queueLosses(): Promise<number> {
  const { stdout } = await fixture.run("vm1", "cat", "/sys/class/net/eth0/statistics/tx_dropped");
  return Number(stdout);
}

test("a TAP device has a queue for each worker, whoever serves it", LIMIT, async () => {
  await giveTap();
  await until("all queues", async () => (await queues()).flat().length === QUEUES);
  for (const workers of [4, 2, 1]) {
    await scale(workers);
    const held = await queues();
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
  const counted = async () => frameLosses() + (await drops()).starved + (await queueLosses());
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
  await attach({});
  await until("no queue", async () => (await queues()).flat().length === 0);
  const { stdout } = await fixture.run("vm1", "ip", "-o", "link", "show", "type", "tun");
  assert.equal(stdout, "");
  await until("every slot to be somewhere", async () => {
    const { slots } = await client().get<WorkersView>("/v1/workers");
    const { total, unaccounted, ...parts } = slots;
    assert.equal(unaccounted, 0);
    return Object.values(parts).reduce((all, part) => all + part, 0) === total;
  });
});
