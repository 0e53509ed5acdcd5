import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { holderOf } from "@rhone/rings/slot-allocator";
import { adoptAfPacket, openAfPacket } from "./af-packet.ts";
import { adoptAfXdp, openAfXdp } from "./af-xdp.ts";
import { closePort, type MovablePort, type PortState } from "./movable-port.ts";
import type { PortContext } from "./port.ts";
import { adoptTap, openTap } from "./tap.ts";
import { ip, TestNetwork, until } from "./test-network.ts";
import { TestWorker, testFrame } from "./test-worker.ts";

const OURS = 0;
const PEER = 1;
const ROUNDS = 10;
const FRAMES = 8; // A round sends so many in each state of the port.

function adopt(state: PortState, context: PortContext): MovablePort {
  switch (state.driver) {
    case "af-packet":
      return adoptAfPacket(state, context);
    case "af-xdp":
      return adoptAfXdp(state, context);
    case "tap":
      return adoptTap(state, context);
  }
}

describe("a port that moves", { timeout: 60_000 }, () => {
  const network = new TestNetwork();
  const worker = new TestWorker();
  let [ourSpace, peerSpace] = ["", ""];

  before(() => {
    ourSpace = network.namespace("ours");
    peerSpace = network.namespace("peer");
    for (const veth of ["veth0", "veth1"]) network.veth(ourSpace, veth, peerSpace, veth);
  });
  after(() => network.close());

  const context = () => worker.context(OURS);
  const cases = [
    { driver: "af-packet", device: "veth0", open: () => openAfPacket("veth0", context()) },
    { driver: "af-xdp", device: "veth1", open: () => openAfXdp("veth1", context()) },
    { driver: "tap", device: "tap0", open: () => openTap("tap0", context()) },
  ] as const;

  for (const { driver, device, open } of cases) {
    const isTap = driver === "tap";
    const peerOf = () => {
      if (isTap) ip("-n", ourSpace, "link", "set", "tap0", "up");
      const space = isTap ? ourSpace : peerSpace;
      return network.inside(space, () => openAfPacket(device, worker.context(PEER)));
    };

    test(`${driver}: goes on elsewhere with all that waits, and nothing comes twice`, () => {
      let port = network.inside(ourSpace, open);
      const peer = peerOf();
      const received: Uint8Array[] = [];
      const sent: Uint8Array[] = [];
      const send = (): void => {
        const frames = Array.from({ length: FRAMES }, (_, i) => testFrame(200, sent.length + i));
        worker.transmit(peer, frames);
        sent.push(...frames);
      };
      for (let round = 0; round < ROUNDS; round++) {
        send();
        received.push(...worker.receive(port, 3));
        const state = structuredClone(port.detach());
        assert.equal(port.isUp, false);
        port.close(); // It has nothing any more.
        send();
        port = adopt(state, context());
        send();
      }
      until("all frames", () => received.push(...worker.receive(port)) === sent.length);
      assert.deepEqual(received, sent);
      const back = Array.from({ length: 20 }, (_, i) => testFrame(100, i));
      worker.transmit(port, back);
      const arrived: Uint8Array[] = [];
      until("20 frames", () => {
        port.reclaim();
        return arrived.push(...worker.receive(peer)) === back.length;
      });
      assert.deepEqual(arrived, back);
      port.close();
      peer.close();
      worker.assertAllHome();
    });
  }

  test("the slots that the kernel has belong to whoever adopts the port", () => {
    const port = network.inside(ourSpace, () => openAfXdp("veth1", context()));
    const { lent } = port;
    assert.ok(lent > 0);
    const state = port.detach();
    assert.equal(port.lent, 0);
    assert.ok(state.driver === "af-xdp" && state.lent.length === lent);
    const adopted = adopt(state, context());
    assert.equal(adopted.lent, lent);
    for (const slot of state.lent) assert.equal(holderOf(slot), 0);
    adopted.close();
    worker.assertAllHome();
  });

  test("what a dead thread has left open can be closed from outside, and opened again", () => {
    for (const { open } of cases) {
      const port = network.inside(ourSpace, open);
      closePort(structuredClone(port.state));
      const again = network.inside(ourSpace, open);
      again.close();
    }
  });
});
