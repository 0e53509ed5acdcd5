import assert from "node:assert/strict";
import { test } from "node:test";
import * as packet from "@rhone/rings/packet";
import * as connections from "@rhone/tables/connections";
import * as ipv4 from "@rhone/wire/ipv4";
import * as tcp from "@rhone/wire/tcp";
import {
  type Ends,
  echoFrame,
  fragmentsOf,
  tcpFrame,
  udpFrame,
  unreachableAbout,
} from "../test/frames.ts";
import { MACS, ROUTER_DB, ROUTER_WEB, TestWorker, VM1, VM3, VM4 } from "../test/network.ts";
import { lookUp } from "./connection-tracking.ts";
import { parse } from "./parse.ts";

const NEW = packet.CONNECTION_NEW;
const ESTABLISHED = packet.CONNECTION_ESTABLISHED;
const RELATED = packet.CONNECTION_RELATED;
const REPLY = packet.CONNECTION_REPLY;
const INVALID = packet.CONNECTION_INVALID;

const there: Ends = {
  ...{ from: "10.0.1.10", fromMac: MACS[VM1]!, to: "10.0.2.10", toMac: MACS[ROUTER_WEB]! },
};
const back: Ends = {
  ...{ from: "10.0.2.10", fromMac: MACS[VM4]!, to: "10.0.1.10", toMac: MACS[ROUTER_DB]! },
};
const VM1_DEVICE = 0;
const VM4_DEVICE = 2;

/** A worker on which every connection of the tests before has run out. */
let now = 1;
function freshWorker(): TestWorker {
  const worker = new TestWorker();
  now += 100_000_000;
  worker.core.nowMs = now;
  worker.isFast = false;
  return worker;
}

/** What the look-up in the zone of `port` says of a frame. */
function seen(worker: TestWorker, frame: Uint8Array, port: number, device: number): number {
  const slot = worker.receive(frame, device);
  assert.equal(parse(slot), -1);
  lookUp(worker.core, slot, port);
  const connection = packet.connection(slot);
  worker.core.allocator.give(slot);
  return connection;
}

function isDelivered(worker: TestWorker, frame: Uint8Array, from: number, to: number): boolean {
  worker.send(frame, from);
  return worker.toDevice(to).length === 1;
}

test("a flow is new until its reply, and then established in both zones", () => {
  const worker = freshWorker();
  const question = udpFrame(there, 8, [1000, 53]);
  const answer = udpFrame(back, 8, [53, 1000]);
  assert.equal(seen(worker, question, VM1, VM1_DEVICE), NEW);
  assert.ok(isDelivered(worker, question, VM1_DEVICE, VM4_DEVICE));
  assert.equal(seen(worker, question, VM1, VM1_DEVICE), NEW);
  assert.equal(seen(worker, answer, VM4, VM4_DEVICE), ESTABLISHED | REPLY);
  assert.ok(isDelivered(worker, answer, VM4_DEVICE, VM1_DEVICE));
  assert.equal(seen(worker, question, VM1, VM1_DEVICE), ESTABLISHED);
  assert.equal(seen(worker, question, VM4, VM1_DEVICE), ESTABLISHED);
  worker.core.nowMs += 120_001;
  assert.equal(seen(worker, question, VM1, VM1_DEVICE), NEW, "run out");
});

test("a look-up commits nothing", () => {
  const worker = freshWorker();
  const frame = udpFrame(there, 8, [1001, 53]);
  seen(worker, frame, VM1, VM1_DEVICE);
  assert.equal(seen(worker, udpFrame(back, 8, [53, 1001]), VM1, VM4_DEVICE), NEW, "not a reply");
});

test("zones are apart: another port has another connection", () => {
  const worker = freshWorker();
  const frame = udpFrame(there, 8, [1002, 53]);
  worker.send(frame, VM1_DEVICE);
  worker.toDevice(VM4_DEVICE);
  assert.equal(seen(worker, udpFrame(back, 8, [53, 1002]), VM4, VM4_DEVICE), ESTABLISHED | REPLY);
  assert.equal(seen(worker, udpFrame(back, 8, [53, 1002]), VM3, VM4_DEVICE), NEW);
});

test("TCP outside its window is invalid, passes without rules and changes nothing", () => {
  const worker = freshWorker();
  const ports: [number, number] = [1003, 80];
  const go = (ends: Ends, fields: Parameters<typeof tcpFrame>[2]): boolean => {
    const isThere = ends === there;
    const way: [number, number] = isThere ? ports : [ports[1], ports[0]];
    const [from, to] = isThere ? [VM1_DEVICE, VM4_DEVICE] : [VM4_DEVICE, VM1_DEVICE];
    return isDelivered(worker, tcpFrame(ends, way, fields), from, to);
  };
  assert.ok(go(there, { flags: tcp.SYN, sequence: 100 }));
  assert.ok(go(back, { flags: tcp.SYN | tcp.ACK, sequence: 500, acknowledgment: 101 }));
  assert.ok(go(there, { flags: tcp.ACK, sequence: 101, acknowledgment: 501 }));
  const stray = { flags: tcp.ACK, sequence: 101 + 70_000, acknowledgment: 501, payload: 4 };
  const frame = tcpFrame(there, ports, stray);
  assert.equal(seen(worker, frame, VM1, VM1_DEVICE), INVALID);
  assert.ok(go(there, stray));
  assert.equal(seen(worker, frame, VM1, VM1_DEVICE), INVALID);
});

test("an answer without a question is invalid", () => {
  const worker = freshWorker();
  const synAck = tcpFrame(back, [80, 1004], {
    flags: tcp.SYN | tcp.ACK,
    sequence: 1,
    acknowledgment: 1,
  });
  assert.equal(seen(worker, synAck, VM4, VM4_DEVICE), INVALID);
  const request = echoFrame(there);
  assert.equal(seen(worker, request, VM1, VM1_DEVICE), NEW);
  const reply = echoFrame(back);
  reply[34] = 0; // An echo reply; nobody checks its checksum.
  assert.equal(seen(worker, reply, VM4, VM4_DEVICE), INVALID);
  worker.send(request, VM1_DEVICE);
  worker.toDevice(VM4_DEVICE);
  assert.equal(seen(worker, reply, VM4, VM4_DEVICE), ESTABLISHED | REPLY);
});

test("an ICMP error is related to what it quotes, and invalid when that is unknown", () => {
  const worker = freshWorker();
  const question = udpFrame(there, 8, [1005, 53]);
  const error = unreachableAbout(back, question);
  assert.equal(seen(worker, error, VM4, VM4_DEVICE), INVALID);
  worker.send(question, VM1_DEVICE);
  worker.toDevice(VM4_DEVICE);
  assert.equal(seen(worker, error, VM4, VM4_DEVICE), RELATED | REPLY);
  assert.ok(isDelivered(worker, error, VM4_DEVICE, VM1_DEVICE));
  // Both directions of a flow, and the errors about it, meet at one owner.
  const hashes = [question, udpFrame(back, 8, [53, 1005]), error].map((frame) => {
    const slot = worker.receive(frame, 0);
    parse(slot);
    worker.core.allocator.give(slot);
    return packet.flowHash(slot);
  });
  assert.equal(new Set(hashes).size, 1);
});

test("ARP, discovery, multicast and broadcast are not tracked", () => {
  const worker = freshWorker();
  const many = { ...there, to: "224.0.0.5", toMac: "01:00:5e:00:00:05" };
  assert.equal(seen(worker, udpFrame(many, 8), VM1, VM1_DEVICE), 0);
  const all = { ...there, to: "255.255.255.255", toMac: "ff:ff:ff:ff:ff:ff" };
  assert.equal(seen(worker, udpFrame(all, 8), VM1, VM1_DEVICE), 0);
});

test("a packet goes to the owner of its flow before stage 1, and is not counted twice", () => {
  const worker = freshWorker();
  worker.core.owners.fill(1);
  worker.send(udpFrame(there, 8, [1006, 53]), VM1_DEVICE);
  const { workers } = worker.core.outlets;
  assert.equal(workers[1]!.count, 1);
  assert.equal(packet.stage(workers[1]!.slots[0]!), 1);
  assert.equal(worker.counters.stage(0).packets, 1);
  assert.equal(worker.counters.stage(1).packets, 0);
  worker.toWorker(1);
});

test("later fragments follow the first one; without it they are dropped by name", () => {
  const worker = freshWorker();
  const parts = fragmentsOf(udpFrame(there, 100, [1007, 53]), 48);
  assert.equal(parts.length, 3);
  worker.send(parts[2]!, VM1_DEVICE);
  assert.equal(worker.dropped("fragment-orphan"), 1);
  for (const part of parts) assert.ok(isDelivered(worker, part, VM1_DEVICE, VM4_DEVICE));
  const answer = udpFrame(back, 8, [53, 1007]);
  assert.equal(seen(worker, answer, VM4, VM4_DEVICE), ESTABLISHED | REPLY, "the flow is known");
});

test("fragments meet at the owner of their addresses, then at the owner of the flow", () => {
  const worker = freshWorker();
  const whole = udpFrame(there, 100, [1008, 53]);
  const [first] = fragmentsOf(whole, 48);
  const hashOf = (frame: Uint8Array): number => {
    const slot = worker.receive(frame, 0);
    parse(slot);
    worker.core.allocator.give(slot);
    return packet.flowHash(slot);
  };
  worker.core.owners.fill(1);
  worker.core.owners[hashOf(first!) >>> 24] = 0;
  worker.send(first!, VM1_DEVICE);
  const slot = worker.core.outlets.workers[1]!.slots[0]!;
  assert.equal(worker.core.outlets.workers[1]!.count, 1);
  assert.equal(packet.flowHash(slot), hashOf(whole));
  assert.equal(packet.ports(slot), (1008 << 16) | 53);
  worker.toWorker(1);
});

test("when no connection can be made, the packet is dropped by name and others go on", () => {
  const worker = freshWorker();
  const old = udpFrame(there, 8, [1009, 53]);
  assert.ok(isDelivered(worker, old, VM1_DEVICE, VM4_DEVICE));
  assert.ok(isDelivered(worker, udpFrame(back, 8, [53, 1009]), VM4_DEVICE, VM1_DEVICE));
  // Sixty-four entries in each of the 256 parts of the default table: fill them with replied ones.
  let refused = 0;
  for (let i = 0; i < 40_000 && refused === 0; i++) {
    connections.loadIpv4(3, 3, 17, 0x0b000000 + i, 1, 1, 1);
    const entry = connections.insert(Math.imul(i, 0x9e3779b1), worker.core.nowMs);
    if (entry === connections.NONE) refused++;
    else {
      connections.setExpires(entry, worker.core.nowMs + 10_000);
      connections.setFlag(entry, connections.REPLY_SEEN);
    }
  }
  assert.equal(refused, 1, "the table got full");
  for (let port = 2000; port < 3000; port++) {
    worker.send(udpFrame(there, 8, [port, 53]), VM1_DEVICE);
    worker.toDevice(VM4_DEVICE);
  }
  assert.ok(worker.dropped("connections-full") > 0);
  assert.ok(isDelivered(worker, old, VM1_DEVICE, VM4_DEVICE), "what is established stays");
  worker.core.nowMs += 10_001;
  assert.ok(isDelivered(worker, udpFrame(there, 8, [3001, 53]), VM1_DEVICE, VM4_DEVICE));
});

test("ICMP of the other family is just another protocol, and :: is nobody's flow", () => {
  const worker = freshWorker();
  const question = echoFrame(there);
  question[23] = 58;
  const view = new DataView(question.buffer);
  question[34] = 129; // Of ICMPv6 an echo reply, which would begin nothing.
  ipv4.updateChecksum(view, 14);
  assert.equal(seen(worker, question, VM1, VM1_DEVICE), NEW);
  const lost: Ends = { ...there, from: "fd00:0:0:1::10", to: "::" };
  assert.equal(seen(worker, udpFrame(lost, 8), VM1, VM1_DEVICE), 0);
});
