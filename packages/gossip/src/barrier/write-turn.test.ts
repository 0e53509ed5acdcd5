/** A write waits for a real barrier, whose others agree or do not, on virtual time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Cluster, type Member, withCluster } from "./barrier-fixture.ts";
import { QUIET_WRITE_WAIT_MS, WRITE_WAIT_MS, writeTurn } from "./write-turn.ts";

/** Milliseconds until `member` takes a write, of `limitMs` at the most. */
async function turnMs({ clock }: Cluster, { barrier }: Member, limitMs: number): Promise<number> {
  const startMs = clock.now();
  let tookMs = Number.NaN;
  const pause = (ms: number): Promise<void> => {
    return new Promise((resolve) => void clock.setTimer(resolve, ms));
  };
  void writeTurn({ barrier, now: clock.now, pause }).then(() => {
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
