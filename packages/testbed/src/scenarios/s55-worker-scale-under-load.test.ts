/**
 * S55: workers come and go under traffic, 1 → 4 → 2, on both chassis of the flows. Nothing is lost,
 * no flow overtakes itself, connections live on.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { WorkersView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { socketLosses, withFlows } from "../flows.ts";
import { useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";

const LIMIT = { timeout: 120_000 };
const WORKLOADS = ["vm1", "vm2", "vm3"] as const;
const lab = labOf({
  name: "s55",
  chassis: ["a", "b"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "a", addresses: ["10.0.1.11"] },
    { name: "vm3", switch: "s", chassis: "b", addresses: ["10.0.1.12"] },
  ],
});
const fixture = useLab("s55", { lab, workers: 1 });

/** Returns when the chassis has so many workers, and everything has its place. */
async function scale(chassis: string, workers: number): Promise<void> {
  const { client } = fixture.running.chassis.find(
    ({ process }) => process.name === chassis,
  )!.process;
  const path = `/v1/chassis/${chassis}/dataplane?wait=applied&timeout=20000`;
  const options = { body: { workers }, timeoutMs: 30_000 };
  succeeded(await client.request("PUT", path, options));
}

test("S55: 1 → 4 → 2 workers, and not a packet is lost or out of order", LIMIT, async () => {
  for (const workload of WORKLOADS) await fixture.agent(workload);
  const before = await socketLosses(fixture, WORKLOADS);
  const load = { from: "vm1", to: ["10.0.1.11", "10.0.1.12"], flows: 200, rate: 2000 };
  const { sent, received, reordered, tcp } = await withFlows(fixture, load, async () => {
    await sleep(1000); // Every flow is known.
    for (const workers of [4, 2, 3, 1]) {
      await scale("a", workers);
      await scale("b", workers);
      await sleep(500);
    }
  });
  const missed = (await socketLosses(fixture, WORKLOADS)) - before;
  const drops = (await Promise.all(["a", "b"].map((name) => fixture.counters(name)))).map(
    (counters) => counters.drops,
  );
  const told = JSON.stringify({ sent, received, missed, tcp, drops });
  assert.ok(sent > 2000, told);
  assert.equal(received + missed, sent, told);
  assert.equal(reordered, 0, told);
  for (const { bytes, failure } of tcp) {
    assert.equal(failure, "", told);
    assert.ok(bytes > 100_000, told);
  }
  for (const { process } of fixture.running.chassis) {
    const { slots } = await process.client.get<WorkersView>("/v1/workers");
    const { total, unaccounted, ...parts } = slots;
    assert.equal(unaccounted, 0);
    const sum = Object.values(parts).reduce((all, part) => all + part, 0);
    assert.equal(sum, total, JSON.stringify(slots));
  }
});
