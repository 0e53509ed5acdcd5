/**
 * A worker dies or hangs that serves queues of a TAP device: the others forward on and inherit
 * them, with what waits in them; its replacement gets its share again. No queue is forgotten, which
 * the kernel would go on to put frames on.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { WorkersView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { socketLosses, withFlows } from "../flows.ts";
import { frameLosses, type LabFixture, underWorkers, useWorkerKiller } from "../lab-fixture.ts";
import { TapWorkload } from "../tap-workload.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";
import { DEATH, HANG, harm } from "../worker-harm.ts";

const LIMIT = { timeout: 120_000 };
const DEVICE = "tap1";
/** As many as workers may be: 4 where nobody says otherwise. */
const QUEUES = 4;
const NAMES = [DEVICE, ...[1, 2, 3].map((number) => `${DEVICE} queue ${number}`)];
/** By workers: that one has at most. The device of vm2 is shared out as well. */
const SHARE: Readonly<Record<number, number>> = { 2: 3, 4: 2 };
const DEATHS = 2;
/** A worker that dies again sooner waits before it is replaced. */
const BETWEEN_DEATHS_MS = 2500;
const WORKLOADS = ["vm1", "vm2", "vm3"] as const;
/** So many flows that some come and go by each queue. */
const LOAD = { from: "vm1", to: ["10.0.1.11", "10.0.1.12"], flows: 100, rate: 2000 };
const lab = labOf({
  name: "tap-death",
  chassis: ["a", "b"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "a", addresses: ["10.0.1.11"] },
    { name: "vm3", switch: "s", chassis: "b", addresses: ["10.0.1.12"] },
  ],
});
useWorkerKiller();

const workersOf = (fixture: LabFixture) =>
  fixture.chassis("a").client.get<WorkersView>("/v1/workers");

async function assertAllServed(tap: TapWorkload, workers: number): Promise<void> {
  const held = await tap.queues();
  assert.deepEqual(held.flat().toSorted(), NAMES);
  assert.equal(held.length, workers);
  for (const { length } of held) assert.ok(length <= SHARE[workers]!, JSON.stringify(held));
}

/** Every flow gets an answer to each of its datagrams, or it is known who had no room for it. */
async function assertAllPass(fixture: LabFixture, tap: TapWorkload): Promise<void> {
  const missed = async () =>
    (await socketLosses(fixture, WORKLOADS)) + frameLosses() + (await tap.losses());
  const before = await missed();
  const report = await withFlows(fixture, LOAD, () => sleep(1500));
  const lost = report.sent - report.received;
  const told = JSON.stringify({ ...report, lost });
  assert.ok(report.sent > 0 && lost >= 0 && lost <= (await missed()) - before, told);
  assert.equal(report.reordered, 0, told);
  for (const { failure } of report.tcp) assert.equal(failure, "", told);
}

underWorkers("tap-death", [2, 4], { lab }, (fixture, workers) => {
  const tap = new TapWorkload(fixture, "a", "vm1", DEVICE);
  const chassis = () => fixture.chassis("a");

  /** Datagrams of many flows: whoever sleeps has a look, and hangs if he is to. */
  async function knock(): Promise<void> {
    const each = "for port in $(seq 1000 1200); do echo > /dev/udp/10.0.1.11/$port; done";
    await fixture.run("vm1", "bash", "-c", each);
  }

  test("workers die, and every queue has one again", LIMIT, async () => {
    await fixture.keepOrder();
    await tap.give();
    await until("all queues", async () => (await tap.queues()).flat().length === QUEUES);
    await Promise.all(WORKLOADS.map((workload) => fixture.agent(workload)));
    const report = await withFlows(fixture, LOAD, async () => {
      for (let death = 0; death < DEATHS; death++) {
        await sleep(BETWEEN_DEATHS_MS);
        await harm(chassis(), workers, DEATH);
        await assertAllServed(tap, workers);
      }
      await sleep(1000);
    });
    const { sent, received, reordered, tcp } = report;
    const told = JSON.stringify(report);
    // What a dead worker had in its hands is lost; what waits in its queues is not.
    assert.ok(sent - received < sent / 10, told);
    assert.equal(reordered, 0, told);
    for (const { failure } of tcp) assert.equal(failure, "", told);
  });

  test("afterwards each flow passes, by whichever queue", LIMIT, async () => {
    await assertAllPass(fixture, tap);
    assert.equal((await workersOf(fixture)).slots.unaccounted, 0);
  });

  test("a port goes while a worker hangs, and can come again", {
    ...LIMIT,
    skip: workers !== 2,
  }, async () => {
    await harm(chassis(), workers, HANG, async () => {
      await knock();
      succeeded(await tap.ask({}));
    });
    await until("no queue", async () => (await tap.queues()).flat().length === 0);
    const { stdout } = await fixture.run("vm1", "ip", "-o", "link", "show", "type", "tun");
    assert.equal(stdout, "");
    await tap.attach();
    await until("the device is open", () => tap.isUp());
  });
});
