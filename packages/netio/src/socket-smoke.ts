/**
 * One frame through each kind of port, in namespaces of its own: says "ok" or fails. A test runs it
 * under each runtime, as it is all native calls.
 */
import assert from "node:assert/strict";
import * as packet from "@rhone/rings/packet";
import { parseAddress } from "@rhone/wire/address";
import { openAfPacket } from "./af-packet.ts";
import { openAfXdp } from "./af-xdp.ts";
import { createDoorbell, Poller, ringDoorbell } from "./doorbell.ts";
import { openTap } from "./tap.ts";
import { ip, TestNetwork, until } from "./test-network.ts";
import { TestWorker, testFrame } from "./test-worker.ts";
import { UdpUnderlay } from "./udp-underlay.ts";

const network = new TestNetwork();
const worker = new TestWorker();
const { allocator, counters } = worker;

try {
  const left = network.namespace("left");
  const right = network.namespace("right");
  network.veth(left, "left", right, "right");
  ip("-n", left, "addr", "add", "10.6.0.1/24", "dev", "left");
  ip("-n", right, "addr", "add", "10.6.0.2/24", "dev", "right");
  checkUnderlay(left, right);
  checkPorts(left, right);
  checkTap(left);
  checkDoorbell();
  worker.assertAllHome();
} finally {
  network.close();
}
console.log("ok");

function checkUnderlay(left: string, right: string): void {
  const options = { port: 6081, allocator, counters };
  const from = network.inside(left, () => new UdpUnderlay({ ...options, address: "10.6.0.1" }));
  const to = network.inside(right, () => new UdpUnderlay({ ...options, address: "10.6.0.2" }));
  const slots = Int32Array.from({ length: 40 }, (_, i) => worker.packet(testFrame(1000, i)));
  for (const [i, slot] of slots.entries()) packet.setFlowHash(slot, i >> 3);
  const destinations = Int32Array.from(
    { length: 160 },
    (_, i) => parseAddress("10.6.0.2")![i % 4]!,
  );
  from.transmit(slots, 40, destinations);
  let count = 0;
  until("40 datagrams", () => {
    const received = to.receive(slots, 40);
    for (let i = 0; i < received; i++) allocator.give(slots[i]!);
    return (count += received) === 40;
  });
  assert.deepEqual([...to.sources.subarray(0, 4)], [...parseAddress("10.6.0.1")!]);
  from.close();
  to.close();
}

function checkPorts(left: string, right: string): void {
  const xdp = network.inside(left, () => openAfXdp("left", worker.context(0)));
  const plain = network.inside(right, () => openAfPacket("right", worker.context(1)));
  const frames = [60, 700, 1514].map(testFrame);
  for (const [from, to] of [
    [xdp, plain],
    [plain, xdp],
  ] as const) {
    worker.transmit(from, frames);
    const received: Uint8Array[] = [];
    until("3 frames", () => {
      from.reclaim();
      return received.push(...worker.receive(to)) === 3;
    });
    assert.deepEqual(received, frames);
  }
  xdp.close();
  plain.close();
}

function checkTap(space: string): void {
  const tap = network.inside(space, () => openTap("tap0", worker.context(0)));
  ip("-n", space, "link", "set", "tap0", "up");
  const workload = network.inside(space, () => openAfPacket("tap0", worker.context(1)));
  const frames = [60, 700, 1514].map(testFrame);
  for (const [from, to] of [
    [tap, workload],
    [workload, tap],
  ] as const) {
    worker.transmit(from, frames);
    const received: Uint8Array[] = [];
    until("3 frames", () => received.push(...worker.receive(to)) === 3);
    assert.deepEqual(received, frames);
  }
  workload.close();
  tap.close();
}

function checkDoorbell(): void {
  const doorbell = createDoorbell();
  const poller = new Poller();
  poller.add(doorbell);
  assert.equal(poller.poll(0), 0);
  ringDoorbell(doorbell);
  assert.equal(poller.poll(0), 1);
  assert.throws(() => openAfPacket("nowhere", worker.context(0)), /ENODEV/);
}
