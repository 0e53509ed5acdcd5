import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { Poller } from "./doorbell.ts";
import { createLoopback } from "./loopback.ts";
import { TestWorker, testFrame } from "./test-worker.ts";

const worker = new TestWorker();

describe("a loopback pair", () => {
  test("carries frames to the other end, in order, and wakes it", () => {
    const [left, right] = createLoopback(worker.context(0), worker.context(1));
    const poller = new Poller();
    poller.add(...right.descriptors);
    const frames = [60, 1514, 40_000].map(testFrame);
    worker.transmit(left, frames);
    assert.equal(poller.poll(0), 1);
    assert.deepEqual(worker.receive(left), []);
    assert.deepEqual(worker.receive(right), frames);
    assert.equal(poller.poll(0), 0);
    assert.equal(worker.counters.device(1).rxPackets, 3);
    left.close();
    right.close();
    worker.assertAllHome();
  });

  test("begins each packet anew, but keeps its offloads", () => {
    const [left, right] = createLoopback(worker.context(0), worker.context(1));
    const slot = worker.packet(testFrame(5000, 1));
    packet.setGsoType(slot, 1);
    packet.setGsoSize(slot, 1448);
    packet.setChecksumStart(slot, 34);
    packet.setChecksumOffset(slot, 16);
    packet.setStage(slot, 8);
    packet.setOutPort(slot, 3);
    left.transmit(Int32Array.of(slot), 1);
    const slots = new Int32Array(4);
    assert.equal(right.receive(slots, 4), 1);
    assert.equal(slots[0], slot);
    assert.deepEqual([packet.gsoType(slot), packet.gsoSize(slot)], [1, 1448]);
    assert.deepEqual([packet.checksumStart(slot), packet.checksumOffset(slot)], [34, 16]);
    assert.deepEqual([packet.stage(slot), packet.outPort(slot)], [0, packet.NO_PORT]);
    assert.equal(packet.device(slot), 1);
    worker.allocator.give(slot);
    left.close();
    right.close();
    worker.assertAllHome();
  });

  test("drops by name what finds no room or nobody, and frees what waits when it closes", () => {
    const [left, right] = createLoopback(worker.context(0), worker.context(1));
    const full = worker.counters.dropped(DROP["device-full"]);
    const frames = Array.from({ length: 1030 }, (_, i) => testFrame(60, i));
    worker.transmit(left, frames);
    assert.equal(worker.counters.dropped(DROP["device-full"]), full + 6);
    right.close();
    assert.equal(left.isUp, false);
    const down = worker.counters.dropped(DROP["device-down"]);
    worker.transmit(left, frames.slice(0, 2));
    assert.equal(worker.counters.dropped(DROP["device-down"]), down + 2);
    left.close();
    worker.assertAllHome();
  });
});
