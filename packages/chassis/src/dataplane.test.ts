/** The data plane with real threads and the real kernel, on an address of the loopback device. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Worker } from "node:worker_threads";
import type { Report } from "@rhone/dataplane-worker/plan";
import { NOBODY } from "@rhone/rings/buckets";
import { assertAllSlots, start, until } from "./test-dataplane.ts";

const LIMIT = { timeout: 30_000 };

test("workers come and go, and every slot is somewhere", LIMIT, async (t) => {
  const { dataplane, lost } = start(t, 1);
  for (const count of [1, 4, 2, 3]) {
    dataplane.scale(count);
    await until(`${count} workers`, () => dataplane.isComplete);
    const owners = new Set(dataplane.allotment.owners);
    assert.deepEqual([...owners].sort(), [0, 1, 2, 3].slice(0, count));
    assert.deepEqual(new Set(dataplane.allotment.sockets), owners);
    await assertAllSlots(dataplane);
  }
  assert.deepEqual(lost, []);
});

test("a device that is closed is nobody's, and its place can be used again", LIMIT, async (t) => {
  const { dataplane, lost, reports } = start(t, 2);
  const has = (type: Report["type"]) => reports.some((report) => report.type === type);
  for (let round = 0; round < 3; round++) {
    reports.length = 0;
    dataplane.openDevice(0, "rhone-not-here", "af-packet");
    await until("the device to be refused", () => has("refused"));
    dataplane.closeDevice(0);
    await until("the device to be closed", () => has("closed"));
    await until("its worker to let go of it", () => dataplane.isComplete);
    assert.ok(!has("detached"), "nobody is to have it");
    assert.equal(dataplane.workerOf(0), NOBODY);
  }
  assert.deepEqual(lost, []);
});

/** Ends threads until a worker is lost: some may have none, because the pool keeps a spare one. */
async function endOne(threads: readonly Worker[], isLost: () => boolean): Promise<void> {
  for (const thread of [...threads]) {
    await thread.terminate(); // One that sleeps hears of it when it wakes up.
    for (let i = 0; i < 100 && !isLost(); i++) await sleep(5);
    if (isLost()) return;
  }
  assert.fail(`expected that one of ${threads.length} threads has a worker`);
}

test("a worker that dies is replaced, even when it is the only one", LIMIT, async (t) => {
  const threads: Worker[] = [];
  const collect = (thread: Worker): void => {
    threads.push(thread);
    thread.once("exit", () => threads.splice(threads.indexOf(thread), 1));
  };
  process.on("worker", collect);
  t.after(() => process.off("worker", collect));
  const { dataplane, lost } = start(t, 1);
  await until("a worker", () => dataplane.isComplete);
  for (const count of [1, 3]) {
    dataplane.scale(count);
    await until(`${count} workers`, () => dataplane.isComplete);
    lost.length = 0;
    await endOne(threads, () => lost.length === 1);
    await until("its replacement", () => dataplane.isComplete);
    assert.equal(dataplane.lost.size, 0);
    await assertAllSlots(dataplane);
  }
});
