import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { DROP } from "@rhone/rings/drop-reason";
import { SMALL_FRAME_MAX } from "@rhone/rings/pool";
import { openAfPacket } from "./af-packet.ts";
import { Poller } from "./doorbell.ts";
import type { Port } from "./port.ts";
import { openTap } from "./tap.ts";
import { ip, TestNetwork, until } from "./test-network.ts";
import { TestWorker, testFrame } from "./test-worker.ts";

const TAP = 0;
const WORKLOAD = 1;

describe("a TAP port", { timeout: 60_000 }, () => {
  const network = new TestNetwork();
  const worker = new TestWorker();
  const { counters } = worker;
  let space = "";

  before(() => {
    space = network.namespace("workload");
  });
  after(() => network.close());

  const open = (device = "tap0"): Port =>
    network.inside(space, () => openTap(device, worker.context(TAP)));

  /** The port, and the workload's side of the device. */
  function withPorts(use: (port: Port, workload: Port) => void): void {
    const port = open();
    ip("-n", space, "link", "set", "tap0", "mtu", "9000", "up");
    const workload = network.inside(space, () => openAfPacket("tap0", worker.context(WORKLOAD)));
    try {
      use(port, workload);
    } finally {
      workload.close();
      port.close();
    }
    worker.assertAllHome();
  }

  test("carries frames of every size unchanged and in order, both ways", () => {
    withPorts((port, workload) => {
      const sizes = [60, 61, 1514, SMALL_FRAME_MAX, SMALL_FRAME_MAX + 1, 4000, 9014];
      const frames = Array.from({ length: 200 }, (_, i) => testFrame(sizes[i % sizes.length]!, i));
      for (const [from, to] of [
        [port, workload],
        [workload, port],
      ] as const) {
        const received: Uint8Array[] = [];
        for (let i = 0; i < frames.length; i += 20) {
          worker.transmit(from, frames.slice(i, i + 20));
          until("20 frames", () => received.push(...worker.receive(to, 7)) === i + 20);
        }
        assert.deepEqual(received, frames);
      }
      const total = frames.reduce((sum, frame) => sum + frame.length, 0);
      const { txPackets, txBytes, rxPackets, rxBytes, drops } = counters.device(TAP);
      assert.deepEqual([txPackets, txBytes, rxPackets, rxBytes], [200, total, 200, total]);
      assert.equal(drops, 0);
    });
  });

  test("polls readable when a frame waits", () => {
    withPorts((port, workload) => {
      const poller = new Poller();
      poller.add(...port.descriptors);
      until("quiet", () => worker.receive(port).length === 0);
      assert.equal(poller.poll(0), 0);
      worker.transmit(workload, [testFrame(100, 1)]);
      assert.equal(poller.poll(2000), 1);
      assert.deepEqual(worker.receive(port), [testFrame(100, 1)]);
    });
  });

  test("drops by name while the workload's device is off, and goes on when it is on", () => {
    withPorts((port, workload) => {
      ip("-n", space, "link", "set", "tap0", "down");
      const before = counters.dropped(DROP["device-down"]);
      worker.transmit(port, [testFrame(60, 1), testFrame(60, 2)]);
      assert.equal(counters.dropped(DROP["device-down"]), before + 2);
      assert.equal(port.isUp, true);
      ip("-n", space, "link", "set", "tap0", "up");
      assert.deepEqual(worker.receive(workload), []);
      worker.transmit(port, [testFrame(60, 3)]);
      assert.equal(counters.dropped(DROP["device-down"]), before + 2);
    });
  });

  test("drops by name what the kernel refuses, and only that", () => {
    withPorts((port, workload) => {
      const before = counters.dropped(DROP["device-refused"]);
      worker.transmit(port, [testFrame(60, 1), new Uint8Array(5), testFrame(60, 2)]);
      assert.equal(counters.dropped(DROP["device-refused"]), before + 1);
      const received: Uint8Array[] = [];
      until("2 frames", () => received.push(...worker.receive(workload)) === 2);
    });
  });

  test("uses a device that was made before, of one queue or several, and leaves it", () => {
    for (const queues of [[], ["multi_queue"]]) {
      const kind = ["mode", "tap", ...queues];
      ip("-n", space, "tuntap", "add", "dev", "kept", ...kind);
      open("kept").close();
      assert.match(ip("-n", space, "link", "show", "kept"), /kept/);
      ip("-n", space, "tuntap", "del", "dev", "kept", ...kind);
    }
    worker.assertAllHome();
  });

  test("says when the device is none", () => {
    assert.throws(() => open("lo"), /open the TAP device "lo", which is of another kind: EINVAL/);
    assert.throws(() => open("a-name-that-is-too-long-for-it-by-far-and-more"), /at most 39 bytes/);
    const port = open();
    // A second queue of the same device is a second port.
    open().close();
    port.close();
    worker.assertAllHome();
  });

  test("is down once its device is gone, and frees what it is still given", () => {
    const port = open();
    try {
      ip("-n", space, "link", "set", "tap0", "up");
      ip("-n", space, "link", "del", "tap0");
      until("the port to be down", () => worker.receive(port).length === 0 && !port.isUp);
      const before = counters.dropped(DROP["device-down"]);
      worker.transmit(port, [testFrame(60, 1), testFrame(60, 2)]);
      assert.equal(counters.dropped(DROP["device-down"]), before + 2);
    } finally {
      port.close();
    }
    worker.assertAllHome();
  });
});
