/** What replicators do where messages get lost, on virtual time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Cluster, put } from "./replicator-fixture.ts";
import * as subjects from "./subjects.ts";

/** b writes and nobody hears of it; what a asks when it hears the echo is lost, if `isAsked`. */
async function lose(cluster: Cluster, name: string, isAsked: boolean): Promise<void> {
  const { bus, clock, members } = cluster;
  bus.lossRate = 1;
  put(members[1], name);
  bus.lossRate = 0;
  if (!isAsked) return;
  await clock.advance(50.1); // The echo is on its way.
  bus.lossRate = 1;
  await clock.advance(10);
  bus.lossRate = 0;
}

function stop({ members }: Cluster): void {
  for (const { replicator } of members) replicator.stop();
}

test("a question that got lost is asked again, after about as long as answers take", async () => {
  const cluster = new Cluster(["a", "b"]);
  await cluster.clock.advance(200);
  await lose(cluster, "one", false);
  await cluster.converge(100);
  await cluster.clock.advance(500); // So that b may be asked once more.
  await lose(cluster, "two", true);
  assert.equal(cluster.isConverged, false);
  await cluster.converge(70);
  stop(cluster);
});

test("who misses answers tells its own changes more than once", async () => {
  const cluster = new Cluster(["a", "b"]);
  const told: string[] = [];
  const spy = cluster.bus.connect("spy");
  spy.subscribe(subjects.changes("*"), (_data, _respond, subject) => {
    told.push(subjects.originOf(subject)!);
  });
  await cluster.clock.advance(200);
  await lose(cluster, "one", true);
  await cluster.converge(1000);
  for (const member of cluster.members) put(member, `of-${member.name}`);
  await cluster.clock.advance(100);
  assert.deepEqual(told.sort(), ["a", "a", "a", "b"]);
  stop(cluster);
});
