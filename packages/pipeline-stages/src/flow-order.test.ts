/** Packets of a flow leave in the order in which they came, also when they go different ways. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as acls from "@rhone/tables/acls";
import { type Ends, udpFrame } from "../test/frames.ts";
import { buildTables, MACS, ROUTER_WEB, TestWorker, VM1 } from "../test/network.ts";
import { assertInOrder, number } from "../test/numbered-frames.ts";

const VM1_DEVICE = 0;
const VM4_DEVICE = 2;
const WAY: Ends = {
  ...{ from: "10.0.1.10", fromMac: MACS[VM1]!, to: "10.0.2.10", toMac: MACS[ROUTER_WEB]! },
};
const STATELESS_TO_DB: acls.AclRule = {
  ...{ direction: acls.TO_PORT, datapath: 1, port: -1, protocol: 17 },
  ...{ source: null, destination: null },
  ...{ sourcePorts: acls.ANY_PORT, destinationPorts: acls.ANY_PORT },
  ...{ action: acls.ACTION_ALLOW_STATELESS, counter: -1 },
};

test("what can pass the first half only stays in front of what walks behind it", () => {
  // Its receiver keeps no connections, so the second half is decided anew for each packet.
  const worker = new TestWorker(0, buildTables(1, [STATELESS_TO_DB]));
  worker.send(udpFrame(WAY, 8, [5002, 9]), VM1_DEVICE);
  worker.toDevice(VM4_DEVICE);
  for (let i = 1; i <= 4; i++) {
    const frame = udpFrame(WAY, 8, [5002, 9]);
    number(frame, i);
    worker.arrivals.stages[0]!.add(worker.receive(frame, VM1_DEVICE));
  }
  worker.run();
  const frames = worker.toDevice(VM4_DEVICE);
  assert.equal(frames.length, 4);
  assertInOrder(frames);
});

test("what came through a ring stays in front of what came by a device after it", () => {
  const worker = new TestWorker();
  const { core, arrivals } = worker;
  const frames: Uint8Array[] = [];
  // First without an entry, so that both walk; then both are known.
  for (let round = 0; round < 2; round++) {
    const [early, late] = [1, 2].map((i) => {
      const frame = udpFrame(WAY, 8, [5003, 9]);
      number(frame, round * 2 + i);
      return frame;
    });
    core.owners.fill(1);
    worker.send(early!, VM1_DEVICE);
    core.owners.fill(0);
    const ring = core.outlets.workers[1]!;
    arrivals.stages[1]!.add(ring.slots[0]!);
    ring.count = 0;
    worker.send(late!, VM1_DEVICE);
    frames.push(...worker.toDevice(VM4_DEVICE));
  }
  assert.equal(frames.length, 4);
  assertInOrder(frames);
});
