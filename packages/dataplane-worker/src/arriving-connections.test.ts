import assert from "node:assert/strict";
import { test } from "node:test";
import { type Ends, echoFrame, tcpFrame, udpFrame } from "@rhone/pipeline-stages/test-frames";
import {
  buildTables,
  ip,
  MACS,
  ROUTER_DB,
  ROUTER_WEB,
  TestWorker,
  VM1,
  VM4,
} from "@rhone/pipeline-stages/test-network";
import * as acls from "@rhone/tables/acls";
import { type Connection, listConnections } from "@rhone/tables/connection-list";
import { installedConnections } from "@rhone/tables/connection-memory";
import * as connections from "@rhone/tables/connections";
import type { Tables } from "@rhone/tables/generation";
import * as moved from "@rhone/tables/moved-connections";
import * as ipv4 from "@rhone/wire/ipv4";
import * as tcp from "@rhone/wire/tcp";
import { forgetConnections, takeConnections } from "./arriving-connections.ts";

const memory = installedConnections().words.buffer as SharedArrayBuffer;
const VM1_DEVICE = 0;
const VM4_DEVICE = 2;
const VIP = "10.0.9.9";
const CLIENT: Ends = {
  ...{ from: "10.0.1.10", fromMac: MACS[VM1]!, to: "10.0.2.10", toMac: MACS[ROUTER_WEB]! },
};
const SERVER: Ends = {
  ...{ from: "10.0.2.10", fromMac: MACS[VM4]!, to: "10.0.1.10", toMac: MACS[ROUTER_DB]! },
};
const CLIENT_V6: Ends = { ...CLIENT, from: "fd00:0:0:1::10", to: "fd00:0:0:2::10" };
const SERVER_V6: Ends = { ...SERVER, from: "fd00:0:0:2::10", to: "fd00:0:0:1::10" };

/** The server begins nothing. */
const SILENT: acls.AclRule = {
  ...{ direction: acls.FROM_PORT, datapath: 1, port: VM4, protocol: acls.ANY_PROTOCOL },
  ...{ source: null, destination: null, counter: -1 },
  ...{ sourcePorts: acls.ANY_PORT, destinationPorts: acls.ANY_PORT },
  action: acls.ACTION_DROP,
};

/** A worker on which every connection of the tests before has run out and is swept. */
let nowMs = 1;
function freshWorker(tables?: Tables): TestWorker {
  const worker = new TestWorker(0, tables);
  nowMs += 100_000_000;
  worker.core.nowMs = nowMs;
  for (let bucket = 0; bucket < 256; bucket++) connections.sweep(bucket, 1000, nowMs);
  return worker;
}

function zoneOf({ core }: TestWorker, port: number): moved.Zone {
  const { ports, datapaths } = core.tables;
  return { vni: datapaths.key(ports.datapath(port)), port: ports.key(port) };
}

function collect(worker: TestWorker, port: number): Int32Array {
  const zone = zoneOf(worker, port);
  const { records, next } = moved.collect(memory, zone, 0, 100, worker.core.nowMs);
  assert.equal(next, null);
  assert.equal(moved.flawOf(records), null);
  return records;
}

/** As if the port had gone to a chassis that knows nothing, and its connections with it. */
function move(worker: TestWorker, port: number): void {
  const records = collect(worker, port);
  const before = listed(worker, port);
  const zone = zoneOf(worker, port);
  forgetConnections(worker.core, zone, moved.numbersOf(memory, zone));
  assert.deepEqual(listed(worker, port), []);
  takeConnections(worker.core, zone, records);
  assert.deepEqual(listed(worker, port), before);
}

function listed(worker: TestWorker, port: number): Connection[] {
  const zone = zoneOf(worker, port);
  return listConnections().filter((each) => each.vni === zone.vni && each.port === zone.port);
}

function send(worker: TestWorker, frame: Uint8Array, from: number, to: number): void {
  worker.send(frame, from);
  assert.equal(worker.toDevice(to).length, 1);
}

test("connections of every protocol are found by their packets where they came to", () => {
  const worker = freshWorker();
  const frames: [Uint8Array, Uint8Array][] = [
    [udpFrame(CLIENT, 8, [1000, 53]), udpFrame(SERVER, 8, [53, 1000])],
    [udpFrame(CLIENT_V6, 8, [1001, 53]), udpFrame(SERVER_V6, 8, [53, 1001])],
    [echoFrame(CLIENT), echoFrame(SERVER)],
    [echoFrame(CLIENT_V6), echoFrame(SERVER_V6)],
  ];
  for (const [question] of frames) send(worker, question, VM1_DEVICE, VM4_DEVICE);
  assert.equal(listed(worker, VM4).length, 4);
  move(worker, VM4);
  for (const [, answer] of frames) send(worker, answer, VM4_DEVICE, VM1_DEVICE);
  const found = listed(worker, VM4);
  assert.equal(found.length, 4, "no answer began a connection of its own");
  assert.equal(found.filter(({ isReplySeen }) => isReplySeen).length, 4);
});

test("TCP goes on wherever its ends are by now, and still ends", () => {
  const worker = freshWorker();
  const there = (fields: Parameters<typeof tcpFrame>[2]) => tcpFrame(CLIENT, [1002, 80], fields);
  const back = (fields: Parameters<typeof tcpFrame>[2]) => tcpFrame(SERVER, [80, 1002], fields);
  const { SYN, ACK, RST } = tcp;
  send(worker, there({ flags: SYN, sequence: 100 }), VM1_DEVICE, VM4_DEVICE);
  const synAck = { flags: SYN | ACK, sequence: 500, acknowledgment: 101 };
  send(worker, back(synAck), VM4_DEVICE, VM1_DEVICE);
  const ack = { flags: ACK, sequence: 101, acknowledgment: 501 };
  send(worker, there(ack), VM1_DEVICE, VM4_DEVICE);
  move(worker, VM4);
  // Far outside the window that was known at the other chassis.
  const late = { flags: ACK, sequence: 9_000_000, acknowledgment: 101, payload: 4 };
  send(worker, back(late), VM4_DEVICE, VM1_DEVICE);
  const [entry, ...others] = listed(worker, VM4);
  assert.deepEqual(others, []);
  assert.deepEqual(entry!.source, [...ip(CLIENT.from)], "the client is who began it");
  const end = { flags: RST | ACK, sequence: 9_000_004, acknowledgment: 101 };
  send(worker, back(end), VM4_DEVICE, VM1_DEVICE);
  assert.equal(listed(worker, VM4)[0]!.expires, worker.core.nowMs + 10_000, "it is closed");
});

test("what packets began meanwhile the other way round is put right", () => {
  const worker = freshWorker();
  send(worker, udpFrame(CLIENT, 8, [1003, 53]), VM1_DEVICE, VM4_DEVICE);
  const records = collect(worker, VM4);
  const zone = zoneOf(worker, VM4);
  forgetConnections(worker.core, zone, moved.numbersOf(memory, zone));
  worker.core.nowMs += 5;
  send(worker, udpFrame(SERVER, 8, [53, 1003]), VM4_DEVICE, VM1_DEVICE);
  assert.deepEqual(listed(worker, VM4)[0]!.source, [...ip(SERVER.from)]);
  takeConnections(worker.core, zone, records);
  assert.equal(listed(worker, VM4).length, 1);
  assert.deepEqual(listed(worker, VM4)[0]!.source, [...ip(CLIENT.from)]);
});

test("what an answer picked up gives way to what is known of it", () => {
  const worker = freshWorker(buildTables(1, [SILENT]));
  const back = { flags: tcp.ACK, sequence: 500, acknowledgment: 101, payload: 4 };
  const answer = tcpFrame(SERVER, [80, 1006], back);
  send(
    worker,
    tcpFrame(CLIENT, [1006, 80], { flags: tcp.ACK, sequence: 101 }),
    VM1_DEVICE,
    VM4_DEVICE,
  );
  const records = collect(worker, VM4);
  records[moved.FLAGS]! |= connections.BLOCKED;
  records[moved.LEFT_MS] = 100;
  const zone = zoneOf(worker, VM4);
  forgetConnections(worker.core, zone, moved.numbersOf(memory, zone));
  worker.core.pickUp.open(worker.core.nowMs);
  send(worker, answer, VM4_DEVICE, VM1_DEVICE);
  assert.deepEqual(listed(worker, VM4)[0]!.source, [...ip(CLIENT.from)]);
  assert.deepEqual([...collect(worker, VM4)], [], "and is not passed on");
  takeConnections(worker.core, zone, records);
  const [entry, ...others] = listed(worker, VM4);
  assert.deepEqual(others, []);
  assert.equal(entry!.isBlocked, true);
  assert.equal(entry!.expires, worker.core.nowMs + 100);
});

test("what is older than the entry that is there changes nothing but who has answered", () => {
  const worker = freshWorker();
  send(worker, udpFrame(CLIENT, 8, [1004, 53]), VM1_DEVICE, VM4_DEVICE);
  send(worker, udpFrame(SERVER, 8, [53, 1004]), VM4_DEVICE, VM1_DEVICE);
  const records = collect(worker, VM4);
  records[moved.LEFT_MS] = 100;
  const zone = zoneOf(worker, VM4);
  const before = listed(worker, VM4);
  takeConnections(worker.core, zone, records);
  assert.deepEqual(listed(worker, VM4), before);
  records[moved.LEFT_MS] = 86_000_000;
  takeConnections(worker.core, zone, records);
  assert.equal(listed(worker, VM4)[0]!.expires, worker.core.nowMs + 86_000_000);
});

test("a balanced flow keeps its backend, and its answers come from its VIP", () => {
  const backends = [{ address: ip("10.0.2.10"), port: 5353 }];
  const vip = { datapath: 0, address: ip(VIP), protocol: ipv4.PROTOCOL_UDP, servicePort: 53 };
  const vips = [{ ...vip, backends, rejects: true }];
  const worker = freshWorker(buildTables(1, [], null, new Map(), [], [], vips));
  const question = udpFrame({ ...CLIENT, to: VIP }, 8, [1005, 53]);
  send(worker, question, VM1_DEVICE, VM4_DEVICE);
  move(worker, VM1);
  worker.send(udpFrame(SERVER, 8, [5353, 1005]), VM4_DEVICE);
  const [answer] = worker.toDevice(VM1_DEVICE);
  assert.equal(new DataView(answer!.buffer).getUint32(26), ip(VIP)[3]! >>> 0);
});

test("only a bucket's owner writes and removes", () => {
  const worker = freshWorker();
  send(worker, udpFrame(CLIENT, 8, [1006, 53]), VM1_DEVICE, VM4_DEVICE);
  const zone = zoneOf(worker, VM4);
  const entries = moved.numbersOf(memory, zone);
  const records = collect(worker, VM4);
  worker.core.owners.fill(1);
  forgetConnections(worker.core, zone, entries);
  assert.equal(listed(worker, VM4).length, 1);
  worker.core.owners.fill(0);
  forgetConnections(worker.core, { ...zone, port: zone.port + 1 }, entries);
  assert.equal(listed(worker, VM4).length, 1, "another zone's is left alone");
  forgetConnections(worker.core, zone, entries);
  worker.core.owners.fill(1);
  takeConnections(worker.core, zone, records);
  assert.equal(listed(worker, VM4).length, 0);
});

test("pages have every connection once, and none that has run out", () => {
  const worker = freshWorker();
  for (let port = 0; port < 25; port++) {
    send(worker, udpFrame(CLIENT, 8, [2000 + port, 53]), VM1_DEVICE, VM4_DEVICE);
  }
  const zone = zoneOf(worker, VM4);
  const ports: number[] = [];
  for (let after: number | null = 0; after !== null; ) {
    const page: moved.MovedPage = moved.collect(memory, zone, after, 10, worker.core.nowMs);
    for (let at = 0; at < page.records.length; at += moved.RECORD_WORDS) {
      ports.push(page.records[at + moved.PORTS]! >>> 16);
    }
    after = page.next;
  }
  assert.deepEqual(
    ports.toSorted(),
    Array.from({ length: 25 }, (_, i) => 2000 + i),
  );
  const late = worker.core.nowMs + 61_000;
  assert.equal(moved.collect(memory, zone, 0, 10, late).records.length, 0);
});

test("records that no chassis makes have a flaw", () => {
  const worker = freshWorker();
  send(worker, udpFrame(CLIENT, 8, [1007, 53]), VM1_DEVICE, VM4_DEVICE);
  const records = collect(worker, VM4);
  const flawed = (word: number, value: number): string | null => {
    const copy = records.slice();
    copy[word] = value;
    return moved.flawOf(copy);
  };
  assert.match(flawed(moved.VERSION, 5)!, /version 4 or 6 of IP, got 5/);
  assert.match(flawed(moved.PROTOCOL, 256)!, /protocol/);
  assert.match(flawed(moved.LEFT_MS, -1)!, /ms to be left, got -1/);
  assert.match(flawed(moved.FLAGS, 10 << 8)!, /a state of a connection/);
  assert.match(flawed(moved.FLAGS, 1 << 20)!, /flags/);
  assert.match(moved.flawOf(records.subarray(1))!, /records of 26 words, got 25 words/);
});
