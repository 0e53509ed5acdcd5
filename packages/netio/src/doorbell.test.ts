import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { closeDoorbell, createDoorbell, drainDoorbell, Poller, ringDoorbell } from "./doorbell.ts";

describe("a doorbell", { timeout: 20_000 }, () => {
  test("polls readable from a ring until it is drained", () => {
    const doorbell = createDoorbell();
    const poller = new Poller();
    poller.add(doorbell);
    assert.equal(poller.poll(0), 0);
    ringDoorbell(doorbell);
    ringDoorbell(doorbell);
    assert.equal(poller.poll(0), 1);
    assert.equal(poller.poll(0), 1);
    drainDoorbell(doorbell);
    assert.equal(poller.poll(0), 0);
    drainDoorbell(doorbell); // Nothing to forget: returns at once.
    closeDoorbell(doorbell);
  });

  test("wakes a thread that sleeps in poll, from another thread", async () => {
    const doorbell = createDoorbell();
    const module = new URL("./doorbell.ts", import.meta.url).href;
    const source = `
      const { parentPort, workerData } = await import("node:worker_threads");
      const { Poller, drainDoorbell } = await import(${JSON.stringify(module)});
      const poller = new Poller();
      poller.add(workerData);
      parentPort.postMessage("ready");
      const ready = poller.poll(10_000);
      drainDoorbell(workerData);
      parentPort.postMessage(ready);
    `;
    const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
    const thread = new Worker(url, { workerData: doorbell });
    const said = await new Promise<unknown>((resolve, reject) => {
      thread.on("error", reject);
      thread.on("message", (message) => {
        if (message === "ready") ringDoorbell(doorbell);
        else resolve(message);
      });
    });
    assert.equal(said, 1);
    await thread.terminate();
    closeDoorbell(doorbell);
  });
});

describe("a poller", () => {
  test("watches what was added and not removed, and leaves out -1", () => {
    const bells = [createDoorbell(), createDoorbell(), createDoorbell()];
    const poller = new Poller();
    poller.add(-1);
    for (const bell of bells) poller.add(bell);
    for (const bell of bells) ringDoorbell(bell);
    assert.equal(poller.poll(0), 3);
    poller.remove(bells[0]!);
    poller.remove(bells[0]!);
    assert.equal(poller.poll(0), 2);
    poller.remove(bells[2]!);
    poller.remove(bells[1]!);
    assert.equal(poller.poll(0), 0);
    for (const bell of bells) closeDoorbell(bell);
  });

  test("waits no longer than it was told", () => {
    const start = performance.now();
    assert.equal(new Poller().poll(20), 0);
    const took = performance.now() - start;
    assert.ok(took >= 19 && took < 2000, `expected about 20 ms, got ${took}`);
  });

  test("says how many descriptors it can hold", () => {
    const poller = new Poller(8);
    for (let i = 0; i < 8; i++) poller.add(i);
    assert.throws(() => poller.add(8), /expected at most 8 descriptors/);
  });
});
