import assert from "node:assert/strict";
import { test } from "node:test";
import { MeasuredCluster } from "./measured-cluster.ts";

const LIMIT = { timeout: 60_000 };
const OPTIONS = { chassisCount: 12, lossRate: 0.05, seed: 1 };

test(
  "of each write it is known when each of the others held it, and when the last",
  LIMIT,
  async () => {
    const cluster = await MeasuredCluster.start(OPTIONS);
    const { allMs, eachMs } = await cluster.writes(20, 100);
    assert.equal(allMs.length, 20);
    assert.equal(eachMs.length, 20 * 11);
    assert.equal(Math.max(...allMs), Math.max(...eachMs));
    assert.ok(Math.min(...eachMs) >= 0.2, "no message takes less");
    const again = await MeasuredCluster.start(OPTIONS);
    assert.deepEqual(
      await again.writes(20, 100),
      { allMs, eachMs },
      "the same seed, the same times",
    );
  },
);

test("nobody waits for the dead", LIMIT, async () => {
  const cluster = await MeasuredCluster.start({ ...OPTIONS, lossRate: 0 });
  cluster.kill(3);
  const { allMs, eachMs } = await cluster.writes(5, 100);
  assert.equal(allMs.length, 5);
  assert.equal(eachMs.length, 5 * 8);
});

test("what is said and heard grows with what is written", LIMIT, async () => {
  const cluster = await MeasuredCluster.start({ ...OPTIONS, lossRate: 0 });
  const idle = await cluster.traffic(0, 5);
  const busy = await cluster.traffic(20, 1);
  // Each write is heard by all.
  assert.ok(idle > 0 && busy > idle + 20 * 100, `${idle} and ${busy} bytes a second`);
});
