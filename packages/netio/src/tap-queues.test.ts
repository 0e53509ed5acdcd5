/** TAP devices with several queues, each a port of its own. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { openAfPacket } from "./af-packet.ts";
import { Poller } from "./doorbell.ts";
import { closePort, type MovablePort } from "./movable-port.ts";
import type { Port } from "./port.ts";
import { adoptTap, openTapQueues } from "./tap.ts";
import { ip, TestNetwork, until } from "./test-network.ts";
import { TestWorker } from "./test-worker.ts";

const TAP = 0;
const WORKLOAD = 1;
const FLOWS = 64;
/** So few that what is sent in all fits one queue. */
const ROUNDS = 10;

for (const count of [1, 2, 4]) {
  describe(`a TAP device of ${count} queues`, { timeout: 60_000 }, () => {
    const network = new TestNetwork();
    const worker = new TestWorker();
    let space = "";

    before(() => {
      space = network.namespace("workload");
    });
    after(() => network.close());

    function withQueues(use: (queues: MovablePort[], workload: Port) => void): void {
      const context = worker.context(TAP);
      const { port, further } = network.inside(space, () => openTapQueues("tap0", context, count));
      ip("-n", space, "link", "set", "tap0", "up");
      const workload = network.inside(space, () => openAfPacket("tap0", worker.context(WORKLOAD)));
      const queues = [port, ...further.map((state) => adoptTap(structuredClone(state), context))];
      try {
        assert.equal(queues.length, count);
        use(queues, workload);
      } finally {
        for (const each of [workload, ...queues]) each.close();
      }
      worker.assertAllHome();
    }

    /** Takes frames of all queues into lists by flow, each with the queue that it came by. */
    function take(queues: readonly Port[], into: Map<number, [number, number][]>): number {
      let taken = 0;
      for (const [queue, port] of queues.entries()) {
        for (const frame of worker.receive(port)) {
          const { flow, number } = read(frame);
          const list = into.get(flow) ?? [];
          into.set(flow, list);
          list.push([number, queue]);
          taken++;
        }
      }
      return taken;
    }

    for (const version of [4, 6] as const) {
      test(`puts each flow of IPv${version} on one queue, and flows on all`, () => {
        withQueues((queues, workload) => {
          const taken = new Map<number, [number, number][]>();
          let received = 0;
          for (let round = 0; round < ROUNDS; round++) {
            const frames = numbers(FLOWS).map((flow) => udpFrame(version, flow, round));
            worker.transmit(workload, frames);
            until("what was sent", () => {
              received += take(queues, taken);
              return received === (round + 1) * FLOWS;
            });
            // Answers by all queues, in turn: they do not change where a flow comes.
            const answers = numbers(FLOWS).map((flow) => udpFrame(version, flow, round, true));
            worker.transmit(queues[round % count]!, answers);
            let answered = 0;
            until("the answers", () => {
              answered += worker.receive(workload).length;
              return answered === FLOWS;
            });
          }
          const used = new Set<number>();
          for (const list of taken.values()) {
            const [, queue] = list[0]!;
            used.add(queue);
            assert.deepEqual(
              list,
              numbers(ROUNDS).map((round) => [round, queue]),
            );
          }
          assert.equal(used.size, count);
        });
      });
    }

    test("goes on elsewhere with what waits in every queue", () => {
      withQueues((queues, workload) => {
        const taken = new Map<number, [number, number][]>();
        let received = 0;
        for (let round = 0; round < ROUNDS; round++) {
          worker.transmit(
            workload,
            numbers(FLOWS).map((flow) => udpFrame(4, flow, round)),
          );
          for (const [i, port] of queues.entries()) {
            const state = structuredClone(port.detach());
            assert.ok(state.driver === "tap");
            queues[i] = adoptTap(state, worker.context(TAP));
          }
        }
        until("what was sent", () => {
          received += take(queues, taken);
          return received === ROUNDS * FLOWS;
        });
        for (const list of taken.values()) {
          assert.deepEqual(
            list.map(([number]) => number),
            numbers(ROUNDS),
          );
        }
      });
    });

    test("polls readable by the queue that a frame waits in", () => {
      withQueues((queues, workload) => {
        for (const flow of numbers(8)) {
          until("quiet", () => queues.every((port) => worker.receive(port).length === 0));
          worker.transmit(workload, [udpFrame(4, flow, 0)]);
          const readable = queues.filter((port) => {
            const poller = new Poller();
            poller.add(...port.descriptors);
            return poller.poll(0) === 1;
          });
          assert.equal(readable.length, 1);
          assert.deepEqual(worker.receive(readable[0]!), [udpFrame(4, flow, 0)]);
        }
      });
    });
  });
}

test("a device that was made with one queue has one", () => {
  const network = new TestNetwork();
  const worker = new TestWorker();
  try {
    const space = network.namespace("workload");
    ip("-n", space, "tuntap", "add", "dev", "kept", "mode", "tap");
    const context = worker.context(TAP);
    const { port, further } = network.inside(space, () => openTapQueues("kept", context, 4));
    assert.deepEqual(further, []);
    port.close();
  } finally {
    network.close();
  }
  worker.assertAllHome();
});

test("a device ends with its last queue", () => {
  const network = new TestNetwork();
  const worker = new TestWorker();
  try {
    const space = network.namespace("workload");
    const context = worker.context(TAP);
    const { port, further } = network.inside(space, () => openTapQueues("tap0", context, 3));
    port.close();
    assert.match(ip("-n", space, "link", "show", "tap0"), /tap0/);
    for (const state of further) closePort(state);
    assert.throws(() => ip("-n", space, "link", "show", "tap0"), /does not exist/);
  } finally {
    network.close();
  }
  worker.assertAllHome();
});

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** UDP of a flow to or from the workload, with a number; checksums are nobody's business here. */
function udpFrame(version: 4 | 6, flow: number, number: number, isAnswer = false): Uint8Array {
  const headerSize = version === 4 ? 20 : 40;
  const frame = new Uint8Array(14 + headerSize + 8 + 8);
  const view = new DataView(frame.buffer);
  frame.fill(isAnswer ? 0x02 : 0x06, 0, 12);
  view.setUint16(12, version === 4 ? 0x0800 : 0x86dd);
  const udpAt = 14 + headerSize;
  if (version === 4) {
    view.setUint32(14, 0x4500_0024);
    view.setUint32(22, 0x4011_0000);
    view.setUint32(26, isAnswer ? 0x0a00_0002 : 0x0a00_0001);
    view.setUint32(30, isAnswer ? 0x0a00_0001 : 0x0a00_0002);
  } else {
    view.setUint32(14, 0x6000_0000);
    view.setUint32(18, 0x0010_1140);
    view.setUint32(22, 0xfd00_0000);
    view.setUint32(38, 0xfd00_0000);
    view.setUint32(isAnswer ? 50 : 34, 1);
    view.setUint32(isAnswer ? 34 : 50, 2);
  }
  view.setUint16(udpAt + (isAnswer ? 2 : 0), 4000 + flow);
  view.setUint16(udpAt + (isAnswer ? 0 : 2), 80);
  view.setUint16(udpAt + 4, 16);
  view.setUint32(udpAt + 8, flow);
  view.setUint32(udpAt + 12, number);
  return frame;
}

function read(frame: Uint8Array): { readonly flow: number; readonly number: number } {
  const view = new DataView(frame.buffer, frame.byteOffset);
  const at = 14 + (view.getUint16(12) === 0x0800 ? 20 : 40) + 8;
  return { flow: view.getUint32(at), number: view.getUint32(at + 4) };
}
