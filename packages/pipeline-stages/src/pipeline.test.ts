import assert from "node:assert/strict";
import { test } from "node:test";
import * as packet from "@rhone/rings/packet";
import { formatAddress, formatMac } from "@rhone/wire/address";
import * as arp from "@rhone/wire/arp";
import * as checksum from "@rhone/wire/checksum";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmp from "@rhone/wire/icmp";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as nd from "@rhone/wire/nd";
import * as udp from "@rhone/wire/udp";
import fc from "fast-check";
import {
  arpRequest,
  type Ends,
  echoFrame,
  solicitation,
  udpFrame,
  viewOf,
} from "../test/frames.ts";
import { MACS, ROUTER_WEB, TestWorker, VM1, VM2, VM3, VM4, VM5, VM6 } from "../test/network.ts";
import { DELIVERY } from "./output.ts";
import { parse } from "./parse.ts";

const vm1 = { from: "10.0.1.10", fromMac: MACS[VM1]! };
const vm1v6 = { from: "fd00:0:0:1::10", fromMac: MACS[VM1]! };
const toRouter = { toMac: MACS[ROUTER_WEB]! };

function source(frame: Uint8Array): string {
  const view = viewOf(frame);
  return formatMac({ high: ethernet.sourceHigh(view, 0), low: ethernet.sourceLow(view, 0) });
}

function destination(frame: Uint8Array): string {
  const view = viewOf(frame);
  const high = ethernet.destinationHigh(view, 0);
  return formatMac({ high, low: ethernet.destinationLow(view, 0) });
}

test("routes a packet to another switch: MAC addresses, TTL and checksum", () => {
  const worker = new TestWorker();
  const free = worker.freeSlots();
  worker.send(udpFrame({ ...vm1, ...toRouter, to: "10.0.2.10" }, 64), 0);
  const [frame] = worker.toDevice(2);
  assert.ok(frame);
  const view = viewOf(frame);
  assert.equal(source(frame), "02:00:00:00:02:01");
  assert.equal(destination(frame), MACS[VM4]);
  assert.equal(ipv4.ttl(view, 14), 63);
  assert.ok(ipv4.headerChecksumIsValid(view, 14));
  for (let stage = 0; stage < 16; stage++) {
    assert.equal(worker.counters.stage(stage).packets, 1, `stage ${stage}`);
  }
  assert.equal(worker.freeSlots(), free);
});

test("routes IPv6 and leaves the payload's checksum right", () => {
  const worker = new TestWorker();
  worker.send(udpFrame({ ...vm1v6, ...toRouter, to: "fd00:0:0:2::10" }, 33), 0);
  const [frame] = worker.toDevice(2);
  assert.ok(frame);
  const view = viewOf(frame);
  assert.equal(ipv6.hopLimit(view, 14), 63);
  const pseudo = checksum.pseudoHeader6(view, 14, 17, udp.length(view, 54));
  assert.equal(checksum.fold(checksum.sum(view, 54, frame.length, pseudo)), 0);
});

test("hands a packet for another chassis over at stage 8, and counts it there only", () => {
  const worker = new TestWorker();
  worker.send(udpFrame({ ...vm1, ...toRouter, to: "10.0.2.11" }, 64), 0);
  const { chassis, endpoints } = worker.core.outlets;
  assert.equal(chassis.count, 1);
  assert.equal(endpoints[0], 0);
  const slot = chassis.slots[0]!;
  assert.equal(packet.stage(slot), 8);
  assert.equal(packet.outPort(slot), VM5);
  assert.equal(worker.counters.stage(7).packets, 1);
  assert.equal(worker.counters.stage(8).packets, 0);
  worker.toChassis();
});

test("a frame for another worker's device goes there with every stage done", () => {
  const worker = new TestWorker();
  worker.send(udpFrame({ ...vm1, to: "10.0.1.11", toMac: MACS[VM2]! }, 10), 0);
  const slot = worker.core.outlets.workers[1]!.slots[0]!;
  assert.equal(worker.core.outlets.workers[1]!.count, 1);
  assert.equal(packet.stage(slot), DELIVERY);
  assert.equal(packet.device(slot), 1);
  assert.equal(worker.counters.stage(15).packets, 1);
  worker.toWorker(1);
});

test("what resumes at stage 8 goes to the worker that owns its flow", () => {
  const worker = new TestWorker();
  worker.core.owners.fill(1);
  const ends = { from: "10.0.1.12", fromMac: MACS[VM3]!, to: "10.0.1.10", toMac: MACS[VM1]! };
  const slot = worker.receive(udpFrame(ends, 10), -1);
  parse(slot);
  packet.setDatapath(slot, 0);
  packet.setInPort(slot, VM3);
  packet.setOutPort(slot, VM1);
  worker.arrivals.stages[8]!.add(slot);
  worker.run();
  assert.equal(worker.core.outlets.workers[1]!.slots[0], slot);
  assert.equal(packet.stage(slot), 8);
  assert.equal(worker.counters.stage(8).packets, 0);
  worker.toWorker(1);
});

test("a packet resumed at stage 8 runs the second half only", () => {
  const worker = new TestWorker(1);
  const slot = worker.receive(udpFrame({ ...vm1, to: "10.0.1.11", toMac: MACS[VM2]! }, 10), 0);
  packet.setDatapath(slot, 0);
  packet.setInPort(slot, VM1);
  packet.setOutPort(slot, VM2);
  packet.setEtherType(slot, ethernet.ETHERTYPE_IPV4);
  packet.setL3At(slot, packet.frameAt(slot) + 14);
  worker.arrivals.stages[8]!.add(slot);
  worker.run();
  assert.equal(worker.toDevice(1).length, 1);
  assert.equal(worker.counters.stage(7).packets, 0);
  assert.equal(worker.counters.stage(15).packets, 1);
});

test("answers ARP for a known address here, with no other copy", () => {
  const worker = new TestWorker();
  worker.send(arpRequest(MACS[VM1]!, "10.0.1.10", "10.0.1.12"), 0);
  const [frame] = worker.toDevice(0);
  assert.ok(frame);
  const view = viewOf(frame);
  assert.equal(arp.operation(view, 14), arp.REPLY);
  const high = arp.senderMacHigh(view, 14);
  assert.equal(formatMac({ high, low: arp.senderMacLow(view, 14) }), MACS[VM3]);
  assert.equal(destination(frame), MACS[VM1]);
  assert.equal(worker.core.outlets.chassis.count, 0);
});

test("does not answer ARP for a port that is down, but floods the question", () => {
  const worker = new TestWorker();
  worker.send(arpRequest(MACS[VM1]!, "10.0.1.10", "10.0.1.13"), 0);
  assert.equal(worker.toDevice(0).length, 0);
  assert.equal(worker.toWorker(1).length, 1);
  assert.equal(worker.toChassis().length, 1);
});

test("answers a neighbour solicitation with a solicited, overriding advertisement", () => {
  const worker = new TestWorker();
  const ends: Ends = { ...vm1v6, to: "ff02::1:ff00:1", toMac: "33:33:ff:00:00:01" };
  worker.send(solicitation(ends, "fd00:0:0:1::1"), 0);
  const [frame] = worker.toDevice(0);
  assert.ok(frame);
  const view = viewOf(frame);
  assert.equal(icmpv6.type(view, 54), nd.NEIGHBOR_ADVERTISEMENT);
  assert.equal(view.getUint8(58), 0xe0); // Router, solicited, override.
  const option = nd.findOption(view, 54, frame.length, nd.OPTION_TARGET_LINK_LAYER);
  const high = nd.optionMacHigh(view, option);
  assert.equal(formatMac({ high, low: nd.optionMacLow(view, option) }), MACS[ROUTER_WEB]);
  const pseudo = checksum.pseudoHeader6(view, 14, 58, frame.length - 54);
  assert.equal(checksum.fold(checksum.sum(view, 54, frame.length, pseudo)), 0);
});

test("does not answer duplicate address detection for the asker's own address", () => {
  const worker = new TestWorker();
  const ends: Ends = {
    from: "::",
    fromMac: MACS[VM1]!,
    to: "ff02::1:ff00:10",
    toMac: "33:33:ff:00:00:10",
  };
  worker.send(solicitation(ends, "fd00:0:0:1::10"), 0);
  assert.equal(worker.toDevice(0).length, 0);
  worker.toWorker(1);
  worker.toChassis();
});

test("does not answer a neighbour solicitation in fragments", () => {
  const worker = new TestWorker();
  const ends: Ends = { ...vm1v6, to: "ff02::1:ff00:1", toMac: "33:33:ff:00:00:01" };
  const whole = solicitation(ends, "fd00:0:0:1::1");
  const fragment = new Uint8Array(whole.length + 8);
  fragment.set(whole.subarray(0, 54));
  fragment.set(whole.subarray(54), 62);
  const view = viewOf(fragment);
  ipv6.setPayloadLength(view, 14, 40);
  ipv6.setNextHeader(view, 14, ipv6.NEXT_HEADER_FRAGMENT);
  fragment.set([ipv4.PROTOCOL_ICMPV6, 0, 0, 0, 0, 0, 0, 1], 54);
  worker.send(fragment, 0);
  assert.equal(worker.toDevice(0).length, 0);
  drain(worker);
});

test("takes no IPv6 packet for one from or to an IPv4 address of the same digits", () => {
  for (const at of [22, 38]) {
    const worker = new TestWorker();
    const frame = udpFrame({ ...vm1v6, to: "fd00:0:0:1::11", toMac: MACS[VM2]! }, 8);
    frame.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 1, at === 22 ? 10 : 11], at);
    worker.send(frame, 0);
    assert.equal(worker.dropped("malformed-ipv6"), 1);
  }
});

test("the router answers echo requests to its addresses on both sides", () => {
  for (const [ends, type] of [
    [{ ...vm1, ...toRouter, to: "10.0.1.1" }, icmp.ECHO_REPLY],
    [{ ...vm1, ...toRouter, to: "10.0.2.1" }, icmp.ECHO_REPLY],
    [{ ...vm1v6, ...toRouter, to: "fd00:0:0:2::1" }, icmpv6.ECHO_REPLY],
  ] as const) {
    const worker = new TestWorker();
    worker.send(echoFrame(ends), 0);
    const [frame] = worker.toDevice(0);
    assert.ok(frame, ends.to);
    const isV4 = ends.to.includes(".");
    const at = isV4 ? 34 : 54;
    const view = viewOf(frame);
    assert.equal(view.getUint8(at), type);
    const pseudo = isV4 ? 0 : checksum.pseudoHeader6(view, 14, 58, frame.length - 54);
    assert.equal(checksum.fold(checksum.sum(view, at, frame.length, pseudo)), 0);
    assert.equal(source(frame), MACS[ROUTER_WEB]);
  }
});

test("says time exceeded from the router's address and quotes the packet", () => {
  const worker = new TestWorker();
  worker.send(udpFrame({ ...vm1, ...toRouter, to: "10.0.2.10", ttl: 1 }, 64), 0);
  const [frame] = worker.toDevice(0);
  assert.ok(frame);
  const view = viewOf(frame);
  assert.equal(icmp.type(view, 34), icmp.TIME_EXCEEDED);
  assert.equal(ipv4.source(view, 14), 0x0a000101);
  assert.equal(ipv4.destination(view, 14), 0x0a00010a);
  assert.ok(ipv4.headerChecksumIsValid(view, 14));
  assert.equal(checksum.fold(checksum.sum(view, 34, frame.length, 0)), 0);
  assert.equal(ipv4.destination(view, 42), 0x0a00020a); // The quoted header.
  assert.equal(worker.dropped("ttl-exceeded"), 1);
  assert.equal(worker.toDevice(2).length, 0);
});

test("says hop limit exceeded for IPv6", () => {
  const worker = new TestWorker();
  worker.send(udpFrame({ ...vm1v6, ...toRouter, to: "fd00:0:0:2::10", ttl: 1 }, 64), 0);
  const [frame] = worker.toDevice(0);
  assert.ok(frame);
  const view = viewOf(frame);
  assert.equal(icmpv6.type(view, 54), icmpv6.TIME_EXCEEDED);
  const words = [0, 1, 2, 3].map((i) => ipv6.sourceWord(view, 14, i));
  assert.equal(formatAddress(words as never), "fd00:0:0:1::1");
});

test("tells the sender the tunnel's MTU when a packet does not fit", () => {
  const worker = new TestWorker();
  worker.send(udpFrame({ ...vm1, to: "10.0.1.12", toMac: MACS[VM3]! }, 1400), 0);
  const [frame] = worker.toDevice(0);
  assert.ok(frame);
  const view = viewOf(frame);
  assert.equal(icmp.type(view, 34), icmp.DESTINATION_UNREACHABLE);
  assert.equal(icmp.code(view, 34), 4);
  assert.equal(view.getUint16(40), 1418);
  assert.equal(worker.toChassis().length, 0);
  assert.equal(worker.dropped("too-big"), 1);
});

const drops: readonly [string, Uint8Array, Parameters<TestWorker["dropped"]>[0]][] = [
  [
    "a foreign source MAC",
    udpFrame({ ...vm1, fromMac: "02:00:00:00:09:09", to: "10.0.1.11", toMac: MACS[VM2]! }, 8),
    "port-security-mac",
  ],
  [
    "a foreign source IP",
    udpFrame({ ...vm1, from: "10.0.1.99", to: "10.0.1.11", toMac: MACS[VM2]! }, 8),
    "port-security-ip",
  ],
  [
    "a foreign IPv6 source",
    udpFrame({ ...vm1v6, from: "fd00:0:0:1::99", to: "fd00:0:0:1::11", toMac: MACS[VM2]! }, 8),
    "port-security-ip",
  ],
  [
    "an ARP sender address that is not the port's",
    arpRequest(MACS[VM1]!, "10.0.1.1", "10.0.1.11"),
    "port-security-arp",
  ],
  [
    "a solicitation that claims another MAC",
    solicitation(
      { ...vm1v6, to: "ff02::1:ff00:11", toMac: "33:33:ff:00:00:11" },
      "fd00:0:0:1::11",
      "02:00:00:00:09:09",
    ),
    "port-security-nd",
  ],
  [
    "an unknown destination MAC",
    udpFrame({ ...vm1, to: "10.0.1.77", toMac: "02:00:00:00:09:09" }, 8),
    "destination-unknown",
  ],
  [
    "a destination that is bound nowhere",
    udpFrame({ ...vm1, to: "10.0.1.13", toMac: MACS[VM6]! }, 8),
    "destination-unbound",
  ],
  [
    "a packet for the router's own UDP port",
    udpFrame({ ...vm1, ...toRouter, to: "10.0.1.1" }, 8),
    "router-own-address",
  ],
  [
    "a frame from a group's MAC address",
    udpFrame({ ...vm1, fromMac: "03:00:00:00:01:0a", to: "10.0.1.11", toMac: MACS[VM2]! }, 8),
    "malformed-ethernet",
  ],
  [
    "a link-local packet for another network",
    udpFrame({ ...vm1v6, ...toRouter, from: "fe80::ff:fe00:10a", to: "fd00:0:0:2::10" }, 8),
    "router-source-invalid",
  ],
  [
    "a packet for the loopback address",
    udpFrame({ ...vm1v6, ...toRouter, to: "::1" }, 8),
    "router-multicast",
  ],
  [
    "a packet back to its own port",
    udpFrame({ ...vm1, to: "10.0.1.10", toMac: MACS[VM1]! }, 8),
    "destination-is-source",
  ],
];

for (const [name, frame, reason] of drops) {
  test(`drops ${name} as ${reason}`, () => {
    const worker = new TestWorker();
    const free = worker.freeSlots();
    worker.send(frame, 0);
    assert.equal(worker.dropped(reason), 1);
    assert.equal(worker.freeSlots(), free);
  });
}

test("says no route and unreachable, and counts both", () => {
  const worker = new TestWorker();
  worker.send(udpFrame({ ...vm1, ...toRouter, to: "172.16.0.1" }, 8), 0);
  worker.send(udpFrame({ ...vm1, ...toRouter, to: "10.0.2.77" }, 8), 0);
  const codes = worker.toDevice(0).map((frame) => viewOf(frame).getUint16(34));
  assert.deepEqual(codes, [0x0300, 0x0301]);
  assert.equal(worker.dropped("no-route"), 1);
  assert.equal(worker.dropped("next-hop-unknown"), 1);
});

test("follows a static route to its next hop", () => {
  const worker = new TestWorker();
  worker.send(udpFrame({ ...vm1, ...toRouter, to: "10.9.1.1" }, 8), 0);
  // The next hop is vm4; its port is secured, so it gets nothing that is not its own.
  assert.equal(worker.dropped("port-security-egress"), 1);
});

test("a broadcast goes once to each chassis and once to each other port here", () => {
  const worker = new TestWorker();
  const free = worker.freeSlots();
  worker.send(udpFrame({ ...vm1, to: "255.255.255.255", toMac: "ff:ff:ff:ff:ff:ff" }, 8), 0);
  assert.equal(worker.toDevice(0).length, 0);
  assert.equal(worker.toWorker(1).length, 1);
  assert.equal(worker.toChassis().length, 1);
  assert.equal(worker.freeSlots(), free);
});

test("a broadcast that came through a tunnel stays here", () => {
  const worker = new TestWorker();
  const frame = udpFrame(
    { from: "10.0.1.12", fromMac: MACS[VM3]!, to: "255.255.255.255", toMac: "ff:ff:ff:ff:ff:ff" },
    8,
  );
  const slot = worker.receive(frame, -1);
  packet.setDatapath(slot, 0);
  packet.setInPort(slot, VM3);
  packet.setOutPort(slot, packet.FLOOD);
  packet.setFlags(slot, packet.FLAG_FROM_TUNNEL);
  worker.arrivals.stages[8]!.add(slot);
  worker.run();
  assert.equal(worker.toDevice(0).length, 1);
  assert.equal(worker.toWorker(1).length, 1);
  assert.equal(worker.toChassis().length, 0);
});

test("limits the answers that a router makes up", () => {
  const worker = new TestWorker();
  for (let i = 0; i < 600; i++) worker.send(echoFrame({ ...vm1, ...toRouter, to: "10.0.1.1" }), 0);
  assert.equal(worker.toDevice(0).length, 500);
  assert.equal(worker.dropped("reply-rate-limited"), 100);
});

test("every truncation of every frame is dropped by name or delivered, and loses no slot", () => {
  const frames = [
    udpFrame({ ...vm1, ...toRouter, to: "10.0.2.10" }, 20),
    udpFrame({ ...vm1v6, ...toRouter, to: "fd00:0:0:2::10" }, 20),
    echoFrame({ ...vm1, ...toRouter, to: "10.0.1.1" }),
    arpRequest(MACS[VM1]!, "10.0.1.10", "10.0.1.12"),
    solicitation({ ...vm1v6, to: "ff02::1:ff00:1", toMac: "33:33:ff:00:00:01" }, "fd00:0:0:1::1"),
  ];
  const worker = new TestWorker();
  const free = worker.freeSlots();
  for (const frame of frames) {
    for (let length = 0; length <= frame.length; length++) {
      worker.send(frame.subarray(0, length), 0);
      drain(worker);
    }
  }
  assert.equal(worker.freeSlots(), free);
});

test("random changes to frames never throw and lose no slot", () => {
  const worker = new TestWorker();
  const free = worker.freeSlots();
  const base = [
    udpFrame({ ...vm1, ...toRouter, to: "10.0.2.10" }, 20),
    udpFrame({ ...vm1v6, ...toRouter, to: "fd00:0:0:2::10" }, 20),
    solicitation({ ...vm1v6, to: "ff02::1:ff00:1", toMac: "33:33:ff:00:00:01" }, "fd00:0:0:1::1"),
  ];
  const change = fc.record({ at: fc.nat(80), value: fc.nat(255) });
  fc.assert(
    fc.property(fc.constantFrom(...base), fc.array(change, { maxLength: 6 }), (frame, changes) => {
      const copy = frame.slice();
      for (const { at, value } of changes) if (at < copy.length) copy[at] = value;
      worker.send(copy, 0);
      drain(worker);
      assert.equal(worker.freeSlots(), free);
    }),
    { numRuns: 2000 },
  );
});

function drain(worker: TestWorker): void {
  for (let device = 0; device < 3; device++) worker.toDevice(device);
  worker.toWorker(1);
  worker.toChassis();
}
