import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { FRAME_OFFSET, SLOT_SIZE } from "@rhone/rings/pool";
import { openAfPacket } from "./af-packet.ts";
import { type AfXdpOptions, openAfXdp } from "./af-xdp.ts";
import { Poller } from "./doorbell.ts";
import type { Port } from "./port.ts";
import { finishChecksum } from "./segment.ts";
import { ip, TestNetwork, until } from "./test-network.ts";
import { pseudoHeaderSum, type Shape, superFrame, withChecksum } from "./test-super-frame.ts";
import { frameOf, TestWorker, testFrame } from "./test-worker.ts";

/** Of a TCP segment, bytes behind its header's begin. */
const CHECKSUM = 16;
const SEGMENT: Omit<Shape, "payloadSize"> = {
  ...{ isTcp: true, isIpv4: true, optionWords: 3, flags: 0x18, sequence: 1 },
  ...{ identification: 1, segmentSize: 1448, seed: 1 },
};
const PEER = 0;
const OURS = 1;

describe("an AF_XDP port", { timeout: 60_000 }, () => {
  const network = new TestNetwork();
  const worker = new TestWorker();
  let [peerSpace, ourSpace] = ["", ""];

  before(() => {
    peerSpace = network.namespace("peer");
    ourSpace = network.namespace("ours");
    network.veth(peerSpace, "peer", ourSpace, "ours");
  });
  after(() => network.close());

  const open = (options?: AfXdpOptions): Port =>
    network.inside(ourSpace, () => openAfXdp("ours", worker.context(OURS), options));

  function withPorts(use: (ours: Port, peer: Port) => void, options?: AfXdpOptions): void {
    const ours = open(options);
    const peer = network.inside(peerSpace, () => openAfPacket("peer", worker.context(PEER)));
    try {
      use(ours, peer);
    } finally {
      ours.close();
      peer.close();
    }
    worker.assertAllHome();
  }

  test("receives frames into slots where frames belong", () => {
    withPorts((ours, peer) => {
      const frames = [60, 61, 590, 1513, 1514].map(testFrame);
      worker.transmit(peer, frames);
      const slots = new Int32Array(16);
      let count = 0;
      until("5 frames", () => {
        count += ours.receive(slots.subarray(count), 16 - count);
        return count === 5;
      });
      for (let i = 0; i < count; i++) {
        const slot = slots[i]!;
        assert.equal(packet.frameAt(slot), slot * SLOT_SIZE + FRAME_OFFSET);
        assert.equal(packet.device(slot), OURS);
        assert.deepEqual(frameOf(slot), frames[i]);
        worker.allocator.give(slot);
      }
    });
  });

  test("receives many times more frames than its rings hold", () => {
    withPorts(
      (ours, peer) => {
        let next = 0;
        let seen = 0;
        while (next < 5000) {
          const frames = Array.from({ length: 50 }, () => testFrame(100, next++));
          worker.transmit(peer, frames);
          until("50 frames", () => {
            for (const frame of worker.receive(ours))
              assert.deepEqual(frame, testFrame(100, seen++));
            return seen === next;
          });
        }
      },
      { ringSize: 64 },
    );
  });

  test("counts frames that found no slot to be received into", () => {
    withPorts(
      (ours, peer) => {
        worker.transmit(
          peer,
          Array.from({ length: 200 }, (_, i) => testFrame(100, i)),
        );
        let received = 0;
        until("200 frames, lost or not", () => {
          received += worker.receive(ours).length;
          return received + worker.counters.dropped(DROP["device-overrun"]) === 200;
        });
        assert.equal(received, 64);
      },
      { ringSize: 64 },
    );
  });

  test("sends frames and gets every slot back", () => {
    withPorts((ours, peer) => {
      const frames = Array.from({ length: 1000 }, (_, i) => testFrame(60 + i, i));
      const received: Uint8Array[] = [];
      for (let i = 0; i < frames.length; i += 50) {
        worker.transmit(ours, frames.slice(i, i + 50));
        until("50 frames", () => {
          ours.reclaim();
          return received.push(...worker.receive(peer)) === i + 50;
        });
      }
      until("nothing in flight", () => !ours.reclaim());
      assert.deepEqual(received, frames);
      assert.equal(worker.counters.device(OURS).txPackets, 1000);
    });
  });

  test("sends more frames at once than its ring holds", () => {
    withPorts(
      (ours, peer) => {
        const before = worker.counters.device(OURS).drops;
        const frames = Array.from({ length: 500 }, (_, i) => testFrame(100, i));
        worker.transmit(ours, frames);
        const received: Uint8Array[] = [];
        until("500 frames", () => {
          ours.reclaim();
          return received.push(...worker.receive(peer)) === frames.length;
        });
        assert.deepEqual(received, frames);
        until("nothing in flight", () => !ours.reclaim());
        assert.equal(worker.counters.device(OURS).drops, before);
      },
      { ringSize: 64 },
    );
  });

  test("refuses a frame in a large slot by name", () => {
    withPorts((ours) => {
      const before = worker.counters.dropped(DROP["frame-too-long"]);
      worker.transmit(ours, [testFrame(3000, 1)]);
      assert.equal(worker.counters.dropped(DROP["frame-too-long"]), before + 1);
    });
  });

  test("takes frames in front of the stack where the driver has no XDP", () => {
    // The driver of a veth device takes no program while its other end may send more than a page.
    network.veth(peerSpace, "far", ourSpace, "near");
    ip("-n", peerSpace, "link", "set", "far", "mtu", "9000");
    const ours = network.inside(ourSpace, () => openAfXdp("near", worker.context(OURS)));
    const peer = network.inside(peerSpace, () => openAfPacket("far", worker.context(PEER)));
    try {
      assert.ok(ours.state.driver === "af-xdp" && !ours.state.isNative);
      assert.match(ip("-n", ourSpace, "-d", "link", "show", "near"), / xdpgeneric /);
      const frames = Array.from({ length: 100 }, (_, i) => testFrame(60 + i * 10, i));
      for (const [from, to] of [
        [peer, ours],
        [ours, peer],
      ] as const) {
        const received: Uint8Array[] = [];
        for (let i = 0; i < frames.length; i += 20) {
          worker.transmit(from, frames.slice(i, i + 20));
          until("20 frames", () => received.push(...worker.receive(to)) === i + 20);
        }
        assert.deepEqual(received, frames);
      }
    } finally {
      ours.close();
      peer.close();
    }
    worker.assertAllHome();
  });

  test("is the driver's where that has XDP", () => {
    const ours = network.inside(ourSpace, () => openAfXdp("ours", worker.context(OURS)));
    assert.ok(ours.state.driver === "af-xdp" && ours.state.isNative);
    assert.match(ip("-n", ourSpace, "-d", "link", "show", "ours"), / xdp /);
    ours.close();
    worker.assertAllHome();
  });

  test("finishes the checksums that a sender on this machine leaves to its device", () => {
    withPorts((ours, peer) => {
      const whole = superFrame({ ...SEGMENT, payloadSize: 500 });
      const frame = withChecksum(whole, pseudoHeaderSum(whole));
      const { l4 } = whole;
      const finished = worker.packet(frame);
      packet.setChecksumStart(finished, l4);
      packet.setChecksumOffset(finished, CHECKSUM);
      finishChecksum(finished);
      const expected = frameOf(finished);
      worker.allocator.give(finished);
      const slots = new Int32Array(8);
      for (let count = 1; count <= slots.length; count++) {
        for (let i = 0; i < count; i++) {
          slots[i] = worker.packet(frame);
          packet.setChecksumStart(slots[i]!, l4);
          packet.setChecksumOffset(slots[i]!, CHECKSUM);
        }
        peer.transmit(slots, count);
        for (let received = 0; received < count; ) {
          until("a frame", () => ours.receive(slots, 1) === 1);
          received++;
          assert.deepEqual(
            [packet.checksumStart(slots[0]!), packet.checksumOffset(slots[0]!)],
            [l4, CHECKSUM],
          );
          finishChecksum(slots[0]!);
          assert.deepEqual(frameOf(slots[0]!), expected);
          worker.allocator.give(slots[0]!);
        }
      }
    });
  });

  test("polls readable when a frame waits", () => {
    withPorts((ours, peer) => {
      const poller = new Poller();
      poller.add(...ours.descriptors);
      assert.equal(poller.poll(0), 0);
      worker.transmit(peer, [testFrame(100, 1)]);
      assert.equal(poller.poll(2000), 1);
      assert.equal(worker.receive(ours).length, 1);
      assert.equal(poller.poll(0), 0);
    });
  });

  test("can be opened again right after it was closed, with frames under way", () => {
    for (let i = 0; i < 5; i++) {
      withPorts((ours) => {
        worker.transmit(
          ours,
          Array.from({ length: 64 }, (_, k) => testFrame(100, k)),
        );
      });
    }
  });

  test("leaves no program on the device", () => {
    open().close();
    assert.doesNotMatch(ip("-n", ourSpace, "link", "show", "ours"), /xdp/);
  });

  test("says which device is missing", () => {
    const openMissing = (): Port =>
      network.inside(ourSpace, () => openAfXdp("nowhere", worker.context(OURS)));
    assert.throws(openMissing, /expected a network device named "nowhere": ENODEV/);
    const wrongQueue = (): Port => open({ queue: 7 });
    assert.throws(wrongQueue, /bind an AF_XDP socket to queue 7: EINVAL/);
    worker.assertAllHome();
  });

  test("is down once its device is gone, and frees what it held", () => {
    ip("-n", ourSpace, "link", "add", "brief", "type", "veth", "peer", "name", "brief2");
    ip("-n", ourSpace, "link", "set", "brief", "up");
    ip("-n", ourSpace, "link", "set", "brief2", "up");
    const port = network.inside(ourSpace, () => openAfXdp("brief", worker.context(OURS)));
    try {
      ip("-n", ourSpace, "link", "del", "brief");
      until("the port to be down", () => worker.receive(port).length === 0 && !port.isUp);
      const before = worker.counters.dropped(DROP["device-down"]);
      worker.transmit(port, [testFrame(60, 1)]);
      assert.equal(worker.counters.dropped(DROP["device-down"]), before + 1);
    } finally {
      port.close();
    }
    worker.assertAllHome();
  });
});
