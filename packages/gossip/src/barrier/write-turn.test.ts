/** A write waits for a real barrier, whose others agree or do not, on virtual time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Cluster, type Member, withCluster } from "./barrier-fixture.ts";
import { DEBT_MAX_MS, WRITES_PER_SECOND, WriteBudget } from "./write-budget.ts";
import { QUIET_WRITE_WAIT_MS, WRITE_WAIT_MS, writeTurn } from "./write-turn.ts";

/** Milliseconds until `member` takes a write, of `limitMs` at the most. */
async function turnMs(
  { clock }: Cluster,
  { barrier }: Member,
  limitMs: number,
  budget = new WriteBudget(clock.now),
): Promise<number> {
  const startMs = clock.now();
  let tookMs = Number.NaN;
  const pause = (ms: number): Promise<void> => {
    return new Promise((resolve) => void clock.setTimer(resolve, ms));
  };
  void writeTurn({ barrier, budget, now: clock.now, pause }).then(() => {
    tookMs = clock.now() - startMs;
  });
  await clock.advance(limitMs);
  return tookMs;
}

test("a write is taken at once where nothing is open, else when it is agreed on", async () => {
  await withCluster(async (cluster, a) => {
    assert.equal(await turnMs(cluster, a, 0), 0);
    a.write("one");
    await cluster.clock.advance(2);
    assert.ok(a.barrier.isBusy);
    const tookMs = await turnMs(cluster, a, WRITE_WAIT_MS);
    assert.ok(tookMs > 0 && tookMs < 50, `${tookMs} ms`);
    assert.ok(!a.barrier.isBusy);
  });
});

test("a write is taken after the limit, also while a chassis answers nothing", async () => {
  await withCluster(async (cluster, a, _b, c) => {
    c.holdMs = 10 * WRITE_WAIT_MS;
    a.write("one");
    await cluster.clock.advance(110);
    const tookMs = await turnMs(cluster, a, WRITE_WAIT_MS + 10);
    assert.ok(tookMs >= WRITE_WAIT_MS && tookMs < WRITE_WAIT_MS + 5, `${tookMs} ms`);
    assert.ok(a.barrier.isBusy, "it would have waited on");
  });
});

test("who has written nothing of what waits is kept from writing shortly only", async () => {
  await withCluster(async (cluster, a, b, c) => {
    c.holdMs = 10 * WRITE_WAIT_MS;
    a.write("one");
    await cluster.clock.advance(110);
    const tookMs = await turnMs(cluster, b, WRITE_WAIT_MS);
    assert.ok(tookMs >= QUIET_WRITE_WAIT_MS && tookMs < QUIET_WRITE_WAIT_MS + 5, `${tookMs} ms`);
    assert.ok(b.barrier.isBusy, "it would have waited on");
    b.write("two");
    assert.ok(b.barrier.hasOpenWrite);
    await cluster.clock.advance(10 * WRITE_WAIT_MS);
    assert.ok(!b.barrier.hasOpenWrite);
  });
});

test("a thousand documents a second, or as many at once, are written without waiting", async () => {
  await withCluster(async (cluster, a) => {
    const budget = new WriteBudget(cluster.clock.now);
    budget.spend(WRITES_PER_SECOND);
    assert.equal(await turnMs(cluster, a, 0, budget), 0);
    for (let i = 0; i < 100; i++) {
      await cluster.clock.advance(10);
      budget.spend(WRITES_PER_SECOND / 100);
      assert.equal(await turnMs(cluster, a, 0, budget), 0);
    }
  });
});

test("who has written more waits for the rest, a quarter of a second at most", async () => {
  await withCluster(async (cluster, a) => {
    const budget = new WriteBudget(cluster.clock.now);
    budget.spend(WRITES_PER_SECOND + 100);
    const tookMs = await turnMs(cluster, a, WRITE_WAIT_MS, budget);
    assert.ok(tookMs >= 100 && tookMs < 105, `${tookMs} ms`);
    budget.spend(100 * WRITES_PER_SECOND);
    const longestMs = await turnMs(cluster, a, WRITE_WAIT_MS + 10, budget);
    assert.ok(longestMs >= WRITE_WAIT_MS && longestMs < WRITE_WAIT_MS + 5, `${longestMs} ms`);
    await cluster.clock.advance(DEBT_MAX_MS);
    assert.equal(await turnMs(cluster, a, 0, budget), 0, "the debt is no longer than that");
  });
});
