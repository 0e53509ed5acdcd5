import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { waitUntil } from "./nats-cluster-fixture.ts";
import { HubCluster } from "./nats-hubs-fixture.ts";

const LIMIT = { timeout: 90_000 };
/** A leaf waits for a second before it goes to its next hub. */
const RETURN_MS = 4000;

describe("seven chassis, three of them hubs", () => {
  const cluster = new HubCluster(7, { meshMax: 3, hubCount: 3 });
  let count = 0;
  before(async () => {
    await cluster.start();
    await cluster.heard(20_000);
  }, LIMIT);
  after(() => cluster.stop(), LIMIT);

  /** One more switch at each chassis; milliseconds until all have them. */
  const writeEverywhere = async (): Promise<string> => {
    for (const name of cluster.living.keys()) cluster.put(name, `s${count++}`);
    return `${(await cluster.converged(count, 20_000)).toFixed(0)} ms`;
  };
  /** What it says reaches all without a link. */
  const natsIsEnough = async (): Promise<void> => {
    await cluster.heard(20_000);
    const linkedCount = (): number => {
      const all = [...cluster.living.values()];
      return all.reduce((sum, { transport }) => sum + transport.linkedCount, 0);
    };
    const before = linkedCount();
    await writeEverywhere();
    assert.equal(linkedCount(), before);
  };
  /** How many leaves go to a hub first. */
  const leavesOf = (hub: string): number => {
    const first = cluster.addressOf(hub);
    return [...cluster.living.values()].filter(({ placement: { place } }) => {
      return place.role === "leaf" && place.hubs[0]!.address === first;
    }).length;
  };
  const busiest = (hubs: readonly string[]): string => {
    return hubs.toSorted((a, b) => leavesOf(b) - leavesOf(a))[0]!;
  };
  let killed = "";
  const restarts = (): Map<string, number> => {
    return new Map(
      [...cluster.living].map(([name, { server }]) => [name, server.state.restartCount]),
    );
  };
  /** Those whose server has started anew since. */
  const restartedSince = (before: ReadonlyMap<string, number>): string[] => {
    return [...restarts()]
      .filter(([name, times]) => times !== (before.get(name) ?? times))
      .map(([name]) => name);
  };

  test("agree on the hubs, and what one says reaches all over NATS", LIMIT, async () => {
    assert.equal(cluster.hubs?.length, 3);
    const roles = [...cluster.living.values()].map(({ placement }) => placement.view.role);
    assert.equal(roles.filter((role) => role === "leaf").length, 4);
    await natsIsEnough();
  });

  test("become a mesh and get hubs again, and lose nothing", LIMIT, async (t) => {
    const isAll = (layout: string) => () => {
      return [...cluster.living.values()].every(
        ({ placement }) => placement.view.layout === layout,
      );
    };
    for (const [size, layout] of [
      [2, "mesh"],
      [7, "hubs"],
    ] as const) {
      const longestSilence = cluster.listen();
      await sleep(200);
      cluster.resize(size);
      await waitUntil(`all have the layout ${layout}`, 5000, isAll(layout));
      const tookMs = await writeEverywhere();
      await sleep(RETURN_MS);
      await natsIsEnough();
      const silence = `longest silence over NATS ${longestSilence()} ms`;
      t.diagnostic(`${layout}: all have what was written after ${tookMs}; ${silence}`);
    }
    assert.equal(cluster.hubs?.length, 3);
  });

  test("lose nothing when the server of a hub is killed", LIMIT, async (t) => {
    const { hubs } = cluster;
    const longestSilence = cluster.listen();
    await sleep(200);
    killed = busiest(hubs!);
    process.kill(cluster.living.get(killed)!.server.state.pid!, "SIGKILL");
    t.diagnostic(`all have what was written after ${await writeEverywhere()}`);
    await sleep(RETURN_MS);
    await natsIsEnough();
    t.diagnostic(`longest silence over NATS ${longestSilence()} ms`);
    assert.deepEqual(cluster.hubs, hubs);
  });

  test("choose the same other hub when one dies, and lose nothing", LIMIT, async (t) => {
    // Leaves of the one that was killed are elsewhere now.
    const dead = busiest(cluster.hubs!.filter((name) => name !== killed));
    assert.ok(leavesOf(dead) > 0);
    const left = cluster.hubs!.filter((name) => name !== dead);
    const before = restarts();
    const longestSilence = cluster.listen();
    await sleep(200);
    const isGone = cluster.die(dead);
    const startMs = performance.now();
    t.diagnostic(`all have what was written after ${await writeEverywhere()}`);
    await isGone;
    await waitUntil("all agree on other hubs", 30_000, () => {
      return cluster.hubs !== null && !cluster.hubs.includes(dead);
    });
    t.diagnostic(`agreed on another hub after ${(performance.now() - startMs).toFixed(0)} ms`);
    assert.equal(cluster.hubs!.length, 3);
    const [chosen] = cluster.hubs!.filter((name) => !left.includes(name));
    await sleep(RETURN_MS);
    assert.deepEqual(restartedSince(before), [chosen]);
    await natsIsEnough();
    t.diagnostic(`longest silence over NATS ${longestSilence()} ms`);

    const beforeReturn = restarts();
    await cluster.add(dead);
    await cluster.converged(count, 20_000);
    await waitUntil("the returned one is a hub to all", 30_000, () => {
      return cluster.hubs?.includes(dead) === true;
    });
    await sleep(RETURN_MS);
    assert.deepEqual(restartedSince(beforeReturn), [chosen]);
    await natsIsEnough();
  });
});
