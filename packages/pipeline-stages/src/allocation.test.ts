import assert from "node:assert/strict";
import { PerformanceObserver } from "node:perf_hooks";
import { test } from "node:test";
import * as packet from "@rhone/rings/packet";
import { udpFrame } from "../test/frames.ts";
import { MACS, ROUTER_WEB, TestWorker, VM1 } from "../test/network.ts";

const BATCH = 64;

test("a million routed packets cause no garbage collection", async () => {
  const worker = new TestWorker();
  const ends = { from: "10.0.1.10", fromMac: MACS[VM1]!, to: "10.0.2.10" };
  const frame = udpFrame({ ...ends, toMac: MACS[ROUTER_WEB]! }, 18);
  const { devices } = worker.core.outlets;
  const arrivals = worker.arrivals.stages[0]!;
  const slots = Array.from({ length: BATCH }, () => worker.receive(frame, 0));
  const frameAts = slots.map((slot) => packet.frameAt(slot));
  const header = frame.slice(0, 34);
  const forward = (packets: number): void => {
    for (let sent = 0; sent < packets; sent += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        worker.restore(frameAts[i]!, header);
        packet.begin(slots[i]!, frameAts[i]!, frame.length, 0);
        arrivals.add(slots[i]!);
      }
      worker.run();
      assert.equal(devices[2]!.count, BATCH);
      devices[2]!.count = 0;
    }
  };
  forward(100_000); // Until the functions are compiled, they allocate.
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  observer.observe({ entryTypes: ["gc"] });
  forward(1_000_000);
  await new Promise((resolve) => setTimeout(resolve, 50));
  observer.disconnect();
  assert.equal(collections, 0);
});
