import assert from "node:assert/strict";
import { test } from "node:test";
import * as packet from "@rhone/rings/packet";
import { POST_ROUTING } from "@rhone/rings/stage";
import { STANDBY, STANDBY_FOR_GARP, STANDBY_FOR_NA, STANDBY_FOR_RARP } from "@rhone/tables/ports";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmpv6 from "@rhone/wire/icmpv6";
import { arpRequest, solicitation, udpFrame, viewOf } from "../test/frames.ts";
import { buildTables, MACS, TestWorker, VM1, VM2 } from "../test/network.ts";

const mac = MACS[VM1]!;
const ends = { from: "10.0.1.10", fromMac: mac, to: "10.0.1.11", toMac: MACS[VM2]! };
const data = udpFrame(ends, 8);
const garp = arpRequest(mac, "10.0.1.10", "10.0.1.10");
const query = arpRequest(mac, "10.0.1.10", "10.0.1.11");

function rarp(fromMac: string): Uint8Array {
  const frame = arpRequest(fromMac, "10.0.1.10", "10.0.1.10");
  viewOf(frame).setUint16(12, ethernet.ETHERTYPE_RARP);
  return frame;
}

/** What a guest says to all when it comes up: not asked for, about its own address. */
function advertisement(isSolicited: boolean): Uint8Array {
  const target = "fd00:0:0:1::10";
  const to = { from: target, fromMac: mac, to: "ff02::1", toMac: "33:33:00:00:00:01" };
  const frame = solicitation(to, target, mac);
  const view = viewOf(frame);
  view.setUint8(54, 136);
  view.setUint32(58, isSolicited ? 0x60000000 : 0x20000000);
  view.setUint8(78, 2); // Target link-layer address.
  icmpv6.updateChecksum(view, 14, 54, frame.length);
  return frame;
}

/** VM1 stands by; `woken` gets the devices by which it is activated. */
function standingBy(bits: number, generation = 1) {
  const away = new Map([[VM1, STANDBY | bits]]);
  const worker = new TestWorker(0, buildTables(generation, [], null, new Map(), [], [], [], away));
  const woken: number[] = [];
  worker.core.onAwakened = (device) => woken.push(device);
  return { worker, woken };
}

test("nothing passes that comes from a port that stands by, and nothing is answered", () => {
  const { worker, woken } = standingBy(0);
  const free = worker.freeSlots();
  const frames = [data, data, query, garp, rarp(mac), advertisement(false)];
  for (const frame of frames) worker.send(frame, 0);
  assert.equal(worker.dropped("port-standby"), frames.length);
  assert.deepEqual([worker.toDevice(0), worker.toDevice(1), worker.toChassis()], [[], [], []]);
  assert.deepEqual(woken, [], "it waits for nothing");
  assert.equal(worker.freeSlots(), free);
});

test("what is for a port that stands by goes to the chassis that has it", () => {
  const { worker } = standingBy(0);
  const back = udpFrame({ from: ends.to, fromMac: ends.toMac, to: ends.from, toMac: mac }, 8);
  worker.send(back, 1);
  assert.equal(worker.toChassis().length, 1);
  const slot = worker.receive(back, -1);
  packet.setFlags(slot, packet.FLAG_FROM_TUNNEL);
  packet.setDatapath(slot, 0);
  packet.setInPort(slot, VM2);
  packet.setOutPort(slot, VM1);
  packet.setStage(slot, POST_ROUTING);
  worker.arrivals.stages[POST_ROUTING]!.add(slot);
  worker.run();
  assert.equal(worker.toChassis().length, 1);
  assert.deepEqual(worker.toDevice(0), []);
});

const ANNOUNCEMENTS: readonly [string, number, Uint8Array][] = [
  ["rarp", STANDBY_FOR_RARP, rarp(mac)],
  ["garp", STANDBY_FOR_GARP, garp],
  ["na", STANDBY_FOR_NA, advertisement(false)],
];

for (const [name, bit, frame] of ANNOUNCEMENTS) {
  test(`${name} activates a port that waits for it, once, and no other frame does`, () => {
    const { worker, woken } = standingBy(bit);
    const others = ANNOUNCEMENTS.filter(([other]) => other !== name).map(([, , other]) => other);
    const foreign = rarp(MACS[VM2]!);
    for (const other of [data, query, advertisement(true), foreign, ...others]) {
      worker.send(other, 0);
    }
    assert.deepEqual(woken, []);
    worker.send(frame, 0);
    worker.send(frame, 0);
    assert.deepEqual(woken, [0]);
    worker.core.tables = standingBy(bit, 2).worker.core.tables;
    worker.send(frame, 0);
    assert.deepEqual(woken, [0, 0], "who did not act on it hears again under other tables");
  });
}
