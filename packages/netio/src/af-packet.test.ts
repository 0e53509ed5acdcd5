import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { SMALL_FRAME_MAX } from "@rhone/rings/pool";
import { openAfPacket } from "./af-packet.ts";
import type { Port } from "./port.ts";
import { ip, TestNetwork, until } from "./test-network.ts";
import { frameOf, TestWorker, testFrame } from "./test-worker.ts";

const LEFT = 0;
const RIGHT = 1;

describe("an AF_PACKET port", { timeout: 60_000 }, () => {
  const network = new TestNetwork();
  const worker = new TestWorker();
  let [leftSpace, rightSpace] = ["", ""];

  before(() => {
    leftSpace = network.namespace("left");
    rightSpace = network.namespace("right");
    network.veth(leftSpace, "left", rightSpace, "right");
  });
  after(() => network.close());

  const openLeft = (): Port =>
    network.inside(leftSpace, () => openAfPacket("left", worker.context(LEFT)));
  const openRight = (on = worker): Port =>
    network.inside(rightSpace, () => openAfPacket("right", on.context(RIGHT)));

  function withPorts(use: (left: Port, right: Port) => void): void {
    const left = openLeft();
    const right = openRight();
    try {
      use(left, right);
    } finally {
      left.close();
      right.close();
    }
    worker.assertAllHome();
  }

  test("carries frames of every size unchanged and in order", () => {
    withPorts((left, right) => {
      const sizes = [60, 61, 590, 1499, 1500, 1513, 1514];
      const frames = Array.from({ length: 200 }, (_, i) => testFrame(sizes[i % sizes.length]!, i));
      worker.transmit(left, frames);
      const received: Uint8Array[] = [];
      until("200 frames", () => received.push(...worker.receive(right)) === frames.length);
      assert.deepEqual(received, frames);
      assert.deepEqual(worker.receive(left), [], "expected no frame of its own back");
      const total = frames.reduce((sum, frame) => sum + frame.length, 0);
      const sent = worker.counters.device(LEFT);
      assert.deepEqual([sent.txPackets, sent.txBytes, sent.drops], [200, total, 0]);
      const came = worker.counters.device(RIGHT);
      assert.deepEqual([came.rxPackets, came.rxBytes, came.drops], [200, total, 0]);
    });
  });

  test("puts a frame that outgrows a small slot together in a large one", () => {
    ip("-n", leftSpace, "link", "set", "left", "mtu", "9000");
    ip("-n", rightSpace, "link", "set", "right", "mtu", "9000");
    withPorts((left, right) => {
      const frames = [SMALL_FRAME_MAX, SMALL_FRAME_MAX + 1, SMALL_FRAME_MAX + 2, 4000, 9014].map(
        testFrame,
      );
      worker.transmit(left, frames);
      const received: Uint8Array[] = [];
      until("5 frames", () => received.push(...worker.receive(right)) === frames.length);
      assert.deepEqual(received, frames);
    });
  });

  test("goes on with short frames when no large slot is free, and names the loss", () => {
    const poor = new TestWorker({ smallCount: 256, largeCount: 0 });
    const left = openLeft();
    const right = openRight(poor);
    try {
      // These slots do not overlap with those of the poor worker: small ones from 256 on.
      const skipped = Array.from({ length: 256 }, () => worker.allocator.takeSmall());
      worker.transmit(left, [testFrame(5000, 1), testFrame(100, 2), testFrame(SMALL_FRAME_MAX, 3)]);
      const received: Uint8Array[] = [];
      until("2 frames", () => received.push(...poor.receive(right)) === 2);
      assert.deepEqual(received, [testFrame(100, 2), testFrame(SMALL_FRAME_MAX, 3)]);
      assert.equal(poor.counters.dropped(DROP["pool-exhausted"]), 1);
      for (const slot of skipped) worker.allocator.give(slot);
    } finally {
      left.close();
      right.close();
    }
    poor.assertAllHome();
    worker.assertAllHome();
  });

  test("counts frames that found no room in the kernel", () => {
    withPorts((left, right) => {
      const lost = (): number => worker.counters.dropped(DROP["device-overrun"]);
      const before = lost();
      const sent = worker.counters.device(LEFT).txPackets;
      const frames = Array.from({ length: 500 }, (_, i) => testFrame(1000, i));
      for (let i = 0; i < 40; i++) worker.transmit(left, frames);
      assert.equal(worker.counters.device(LEFT).txPackets - sent, 20_000);
      let received = 0;
      until("20,000 frames, lost or not", () => {
        for (let i = 0; i < 100; i++) received += worker.receive(right).length;
        return received + lost() - before === 20_000;
      });
      assert.ok(lost() > before, "expected some to be lost");
    });
  });

  test("sends the rest of a batch when the kernel refuses one frame", () => {
    withPorts((left, right) => {
      const before = worker.counters.dropped(DROP["device-refused"]);
      const good = [testFrame(100, 1), testFrame(100, 2)];
      worker.transmit(left, [good[0]!, testFrame(9100, 3), good[1]!]);
      const received: Uint8Array[] = [];
      until("2 frames", () => received.push(...worker.receive(right)) === 2);
      assert.deepEqual(received, good);
      assert.equal(worker.counters.dropped(DROP["device-refused"]), before + 1);
    });
  });

  test("receives a VLAN tag where it was", () => {
    withPorts((left, right) => {
      const frame = testFrame(200, 9);
      frame.set([0x81, 0x00, 0x20, 0x64, 0x88, 0xb5], 12);
      worker.transmit(left, [frame]);
      const slots = new Int32Array(8);
      until("the frame", () => right.receive(slots, 8) === 1);
      assert.deepEqual(frameOf(slots[0]!), frame);
      assert.equal(packet.device(slots[0]!), RIGHT);
      worker.allocator.give(slots[0]!);
    });
  });

  test("hides the device's frames from the host's own stack while it is open", () => {
    ip("-n", leftSpace, "addr", "add", "10.9.9.1/24", "dev", "left");
    ip("-n", rightSpace, "addr", "add", "10.9.9.2/24", "dev", "right");
    const ping = (seconds: number): number | null =>
      network.try(leftSpace, "ping", "-c1", `-W${seconds}`, "10.9.9.2").status;
    const right = openRight();
    try {
      assert.notEqual(ping(1), 0, "expected no answer from the host");
      assert.ok(worker.receive(right).length > 0, "expected the port to see the request");
    } finally {
      right.close();
    }
    // The neighbour entry is unresolved by now, and ARP asks again only once a second.
    assert.equal(ping(5), 0, "expected an answer from the host again");
    worker.assertAllHome();
  });

  test("says which device is missing or down", () => {
    const open = (device: string) => () =>
      network.inside(leftSpace, () => openAfPacket(device, worker.context(LEFT)));
    assert.throws(open("nowhere"), /expected a network device named "nowhere": ENODEV/);
    assert.throws(open("a-name-that-is-too-long"), /expected a name of at most 15 bytes/);
    ip("-n", leftSpace, "link", "add", "off", "type", "veth");
    assert.throws(open("off"), /use the device "off": ENETDOWN/);
    worker.assertAllHome();
  });

  test("is down once its device is gone, and frees what it is still given", () => {
    ip("-n", leftSpace, "link", "add", "brief", "type", "veth", "peer", "name", "brief2");
    ip("-n", leftSpace, "link", "set", "brief", "up");
    const port = network.inside(leftSpace, () => openAfPacket("brief", worker.context(LEFT)));
    try {
      ip("-n", leftSpace, "link", "del", "brief");
      until("the port to be down", () => worker.receive(port).length === 0 && !port.isUp);
      const before = worker.counters.dropped(DROP["device-down"]);
      worker.transmit(port, [testFrame(60, 1), testFrame(60, 2)]);
      assert.equal(worker.counters.dropped(DROP["device-down"]), before + 2);
    } finally {
      port.close();
    }
    worker.assertAllHome();
  });
});
