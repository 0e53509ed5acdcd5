/**
 * S56: a worker dies under traffic. The others forward on and inherit what it had, connections live
 * on, it is replaced, every slot that it held is found again, and from then on nothing is lost.
 * With one worker there is nobody to inherit: chassis/dataplane.test.ts has that.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { WorkersView } from "@rhone/api/context";
import { socketLosses, withFlows } from "../flows.ts";
import { type LabFixture, underWorkers, useWorkerKiller } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { DEATH, HANG, harm, REPLACED_MAX_MS } from "../worker-harm.ts";

const LIMIT = { timeout: 120_000 };
/** Of flows, shared out evenly. */
const BUCKETS = 256;
const WORKLOADS = ["vm1", "vm2", "vm3"] as const;
const LOAD = { from: "vm1", to: ["10.0.1.11", "10.0.1.12"], flows: 200, rate: 2000 };
const lab = labOf({
  name: "s56",
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

underWorkers("s56", [2, 4], { lab }, (fixture, workers) => {
  test("S56: a worker that dies is replaced, and connections live on", LIMIT, async () => {
    await Promise.all(WORKLOADS.map((workload) => fixture.agent(workload)));
    let tookMs = 0;
    const { sent, received, reordered, tcp, gapMs } = await withFlows(fixture, LOAD, async () => {
      await sleep(1000);
      tookMs = await harm(fixture.chassis("a"), workers, DEATH);
      await sleep(1000);
    });
    const told = JSON.stringify({ sent, received, reordered, tcp, gapMs, tookMs });
    assert.ok(tookMs < REPLACED_MAX_MS, told);
    // What it had in its hands and in its rings is lost, and the others' flows are not.
    assert.ok(sent - received < sent / 10, told);
    for (const { failure } of tcp) assert.equal(failure, "", told);
  });

  test("S56: afterwards nothing is lost, and every slot is accounted for", LIMIT, async () => {
    const before = await socketLosses(fixture, WORKLOADS);
    const { sent, received, reordered } = await withFlows(fixture, LOAD, async () => {
      await sleep(1500);
      assert.equal((await workersOf(fixture)).slots.unaccounted, 0);
    });
    const missed = (await socketLosses(fixture, WORKLOADS)) - before;
    assert.equal(received + missed, sent);
    assert.equal(reordered, 0);
    const { slots, workers: list } = await workersOf(fixture);
    assert.deepEqual(
      list.map(({ buckets }) => buckets).toSorted((a, b) => a - b),
      new Array(workers).fill(BUCKETS / workers),
    );
    const { total, unaccounted, ...parts } = slots;
    assert.equal(unaccounted, 0);
    const sum = Object.values(parts).reduce((all, part) => all + part, 0);
    assert.equal(sum, total, JSON.stringify(slots));
  });

  test("S56: one that hangs is replaced, too", { ...LIMIT, skip: workers !== 2 }, async () => {
    const { sent, received } = await withFlows(fixture, LOAD, async () => {
      await harm(fixture.chassis("a"), workers, HANG);
      await sleep(1000);
    });
    assert.ok(received > sent / 10, `${received} of ${sent}: the other worker forwards on`);
    assert.equal((await workersOf(fixture)).slots.unaccounted, 0);
  });
});
