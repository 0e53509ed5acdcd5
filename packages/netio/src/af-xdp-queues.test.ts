/** Devices with several receive queues under one AF_XDP port. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import * as packet from "@rhone/rings/packet";
import { adoptAfXdp, openAfXdp } from "./af-xdp.ts";
import type { MovablePort, PortState } from "./movable-port.ts";
import { libc } from "./native.ts";
import type { Port } from "./port.ts";
import { ip, TestNetwork, until } from "./test-network.ts";
import { frameOf, TestWorker, testFrame } from "./test-worker.ts";
import { createSocketMap } from "./xdp-program.ts";

const OURS = 0;
const PEER = 1;
const FRAMES = 400; // By each queue.
const BATCH = 20;
const SIZE = 100;

/** Frame `number` of a flow: the flow is in front of the pattern. */
function flowFrame(flow: number, number: number): Uint8Array {
  return testFrame(SIZE, flow * 0x10000 + number);
}

function numberOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(14);
}

for (const count of [1, 2, 4]) {
  describe(`an AF_XDP port of ${count} queues`, { timeout: 60_000 }, () => {
    const network = new TestNetwork();
    const worker = new TestWorker();
    let [peerSpace, ourSpace] = ["", ""];

    before(() => {
      peerSpace = network.namespace("peer");
      ourSpace = network.namespace("ours");
      const queues = ["numrxqueues", String(count), "numtxqueues", String(count)];
      const end = (name: string, space: string) => ["name", name, ...queues, "netns", space];
      const peer = ["peer", ...end("peer", peerSpace)];
      ip("link", "add", ...end("ours", ourSpace), "type", "veth", ...peer);
      for (const [space, device] of [
        [peerSpace, "peer"],
        [ourSpace, "ours"],
      ] as const) {
        const channels = ["rx", String(count), "tx", String(count)];
        network.run(space, "ethtool", "--set-channels", device, ...channels);
        ip("-n", space, "link", "set", device, "up");
      }
    });
    after(() => {
      libc.close(noProgram);
      network.close();
    });
    /** The other end only sends: nobody is to redirect to its sockets. */
    const noProgram = createSocketMap(count);

    const openOurs = (): MovablePort =>
      network.inside(ourSpace, () => openAfXdp("ours", worker.context(OURS)));
    /** By queue: what the other end sends from one arrives on the same one here. */
    const openSenders = (): Port[] =>
      Array.from({ length: count }, (_, queue) =>
        network.inside(peerSpace, () =>
          openAfXdp("peer", worker.context(PEER), { queue, socketMap: noProgram }),
        ),
      );

    /** Frames that the driver has seen, by queue. */
    function seen(): number[] {
      const text = network.run(ourSpace, "ethtool", "-S", "ours");
      return Array.from({ length: count }, (_, queue) =>
        Number(new RegExp(`rx_queue_${queue}_xdp_packets: (\\d+)`).exec(text)![1]),
      );
    }

    /** Sends by all in turns; asserts that each frame comes once, those of a flow in order. */
    function flood(senders: readonly Port[], receive: () => Uint8Array[]): void {
      const next = senders.map(() => 0);
      let [sent, received] = [0, 0];
      const take = (): void => {
        for (const frame of receive()) {
          const number = numberOf(frame);
          const flow = number >>> 16;
          assert.deepEqual(frame, flowFrame(flow, next[flow]!++));
          received++;
        }
      };
      for (let from = 0; from < FRAMES; from += BATCH) {
        for (const [flow, sender] of senders.entries()) {
          const frames = Array.from({ length: BATCH }, (_, i) => flowFrame(flow, from + i));
          worker.transmit(sender, frames);
          sender.reclaim();
          sent += BATCH;
        }
        until("what was sent", () => {
          take();
          for (const sender of senders) sender.reclaim();
          return received === sent;
        });
      }
    }

    test("gets the frames of every queue, once, each flow in order", () => {
      const ours = openOurs();
      const senders = openSenders();
      assert.equal(ours.descriptors.length, count);
      const before = seen();
      flood(senders, () => worker.receive(ours));
      const grown = seen().map((packets, queue) => packets - before[queue]!);
      assert.deepEqual(
        grown,
        senders.map(() => FRAMES),
      );
      assert.deepEqual(worker.receive(ours), []);
      assert.equal(worker.counters.device(OURS).drops, 0);
      for (const port of [ours, ...senders]) port.close();
      worker.assertAllHome();
    });

    test("sends in order, and gets every slot back", () => {
      const ours = openOurs();
      const peer = network.inside(peerSpace, () => openAfXdp("peer", worker.context(PEER)));
      flood([ours], () => worker.receive(peer));
      until("nothing in flight", () => !ours.reclaim());
      for (const port of [ours, peer]) port.close();
      worker.assertAllHome();
    });

    test("goes on elsewhere with what waits in every queue", () => {
      let ours = openOurs();
      const senders = openSenders();
      for (let round = 0; round < 5; round++) {
        for (const [flow, sender] of senders.entries()) {
          worker.transmit(sender, [flowFrame(flow, round), flowFrame(flow, round)]);
        }
        const state: PortState = structuredClone(ours.detach());
        ours.close();
        assert.ok(state.driver === "af-xdp");
        ours = adoptAfXdp(state, worker.context(OURS));
        const slots = new Int32Array(count * 2);
        let received = 0;
        until("what waited", () => {
          received += ours.receive(slots.subarray(received), slots.length - received);
          return received === slots.length;
        });
        for (const slot of slots) {
          assert.equal(numberOf(frameOf(slot)) & 0xffff, round);
          assert.equal(packet.device(slot), OURS);
          worker.allocator.give(slot);
        }
        for (const sender of senders) until("it is sent", () => !sender.reclaim());
      }
      for (const port of [ours, ...senders]) port.close();
      worker.assertAllHome();
    });

    test("says which queue it cannot have, and takes none then", () => {
      const last = count - 1;
      const holder = network.inside(ourSpace, () =>
        openAfXdp("ours", worker.context(PEER), { queue: last, socketMap: noProgram }),
      );
      assert.throws(openOurs, new RegExp(`bind an AF_XDP socket to queue ${last}: EBUSY`));
      holder.close();
      const ours = openOurs();
      ours.close();
      worker.assertAllHome();
    });
  });
}
