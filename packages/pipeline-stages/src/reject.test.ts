import assert from "node:assert/strict";
import { test } from "node:test";
import * as packet from "@rhone/rings/packet";
import * as acls from "@rhone/tables/acls";
import { formatAddress, formatMac } from "@rhone/wire/address";
import * as checksum from "@rhone/wire/checksum";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmp from "@rhone/wire/icmp";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as tcp from "@rhone/wire/tcp";
import fc from "fast-check";
import {
  arpRequest,
  type Ends,
  echoFrame,
  pseudoHeader,
  solicitation,
  tcpFrame,
  udpFrame,
  viewOf,
} from "../test/frames.ts";
import {
  buildTables,
  MACS,
  ROUTER_DB,
  ROUTER_WEB,
  TestWorker,
  VM1,
  VM2,
  VM3,
  VM4,
} from "../test/network.ts";
import { parse } from "./parse.ts";

const vm1: Ends = {
  ...{ from: "10.0.1.10", fromMac: MACS[VM1]!, to: "10.0.2.10", toMac: MACS[ROUTER_WEB]! },
};
const vm1v6: Ends = { ...vm1, from: "fd00:0:0:1::10", to: "fd00:0:0:2::10" };
const VM1_DEVICE = 0;
const VM4_DEVICE = 2;

const REJECT: acls.AclRule = {
  ...{ direction: acls.FROM_PORT, datapath: 0, port: -1, protocol: acls.ANY_PROTOCOL },
  ...{ source: null, destination: null },
  ...{ sourcePorts: acls.ANY_PORT, destinationPorts: acls.ANY_PORT },
  ...{ action: acls.ACTION_REJECT, counter: -1 },
};
const FROM_VM1: readonly acls.AclRule[] = [REJECT, { ...REJECT, direction: acls.TO_PORT }];
const TO_VM4: readonly acls.AclRule[] = [{ ...REJECT, direction: acls.TO_PORT, datapath: 1 }];

function workerWith(rules: readonly acls.AclRule[]): TestWorker {
  return new TestWorker(0, buildTables(1, rules));
}

/** Connections outlive a test: each has a port of its own. */
let nextPort = 30_000;

interface Seen {
  readonly macs: readonly [to: string, from: string];
  readonly addresses: readonly [from: string, to: string];
  readonly protocol: number;
  readonly l4At: number;
  readonly view: DataView;
}

/** What a whole frame says; its checksums must be right. */
function look(frame: Uint8Array): Seen {
  const view = viewOf(frame);
  const mac = (high: number, low: number): string => formatMac({ high, low });
  const macs = [
    mac(ethernet.destinationHigh(view, 0), ethernet.destinationLow(view, 0)),
    mac(ethernet.sourceHigh(view, 0), ethernet.sourceLow(view, 0)),
  ] as const;
  const isV4 = ethernet.etherType(view, 0) === ethernet.ETHERTYPE_IPV4;
  const l4At = isV4 ? 34 : 54;
  const protocol = isV4 ? ipv4.protocol(view, 14) : ipv6.nextHeader(view, 14);
  const size = frame.length - l4At;
  assert.equal(size, isV4 ? ipv4.totalLength(view, 14) - 20 : ipv6.payloadLength(view, 14));
  if (isV4) assert.ok(ipv4.headerChecksumIsValid(view, 14));
  const pseudo = protocol === ipv4.PROTOCOL_ICMP ? 0 : pseudoHeader(view, l4At, protocol, size);
  assert.equal(checksum.fold(checksum.sum(view, l4At, frame.length, pseudo)), 0);
  const words = (word: typeof ipv6.sourceWord) => [0, 1, 2, 3].map((i) => word(view, 14, i));
  const text = (v4: number, v6: number[]): string =>
    formatAddress((isV4 ? [0, 0, 0xffff, v4] : v6) as never);
  const addresses = [
    text(ipv4.source(view, 14), words(ipv6.sourceWord)),
    text(ipv4.destination(view, 14), words(ipv6.destinationWord)),
  ] as const;
  return { macs, addresses, protocol, l4At, view };
}

/** The only frame that leaves, and it is for vm1. */
function answerTo(worker: TestWorker, frame: Uint8Array): Seen {
  const free = worker.freeSlots();
  worker.send(frame, VM1_DEVICE);
  const frames = worker.toDevice(VM1_DEVICE);
  assert.equal(frames.length, 1);
  assert.equal(worker.toDevice(VM4_DEVICE).length, 0);
  assert.equal(worker.dropped("acl-reject"), 1);
  assert.equal(worker.freeSlots(), free);
  return look(frames[0]!);
}

const SYN = { flags: tcp.SYN, sequence: -1, acknowledgment: 77 };
const DATA = { flags: tcp.ACK | tcp.PSH, sequence: 500, acknowledgment: 900, payload: 33 };
const FIN = { flags: tcp.FIN, sequence: 10, payload: 5 };
const RESETS = [
  ["a SYN", SYN, { flags: tcp.RST | tcp.ACK, sequence: 0, acknowledgment: 0 }],
  ["data", DATA, { flags: tcp.RST, sequence: 900, acknowledgment: 0 }],
  ["a FIN", FIN, { flags: tcp.RST | tcp.ACK, sequence: 0, acknowledgment: 16 }],
] as const;

for (const [where, rules] of [
  ["from a port", FROM_VM1],
  ["to a port", TO_VM4],
] as const) {
  for (const ends of [vm1, vm1v6]) {
    for (const [title, segment, reset] of RESETS) {
      test(`${title} of ${ends.from} is answered with its reset, rejected ${where}`, () => {
        const port = nextPort++;
        const worker = workerWith(rules);
        const seen = answerTo(worker, tcpFrame(ends, [port, 80], segment));
        const { view, l4At } = seen;
        assert.deepEqual(seen.macs, [ends.fromMac, ends.toMac]);
        assert.deepEqual(seen.addresses, [ends.to, ends.from]);
        assert.equal(seen.protocol, ipv4.PROTOCOL_TCP);
        assert.deepEqual([tcp.sourcePort(view, l4At), tcp.destinationPort(view, l4At)], [80, port]);
        const [flags, sequence] = [tcp.flags(view, l4At), tcp.sequence(view, l4At)];
        const acknowledgment = tcp.acknowledgment(view, l4At);
        assert.deepEqual({ flags, sequence, acknowledgment }, reset);
      });
    }

    test(`UDP of ${ends.from} is answered with port unreachable, rejected ${where}`, () => {
      const worker = workerWith(rules);
      const seen = answerTo(worker, udpFrame(ends, 8, [nextPort++, 53]));
      const { view, l4At } = seen;
      assert.deepEqual(seen.macs, [ends.fromMac, ends.toMac]);
      assert.deepEqual(seen.addresses, [ends.to, ends.from]);
      const isV4 = l4At === 34;
      assert.equal(seen.protocol, isV4 ? ipv4.PROTOCOL_ICMP : ipv4.PROTOCOL_ICMPV6);
      const kind = isV4 ? icmp : icmpv6;
      assert.equal(kind.type(view, l4At), kind.DESTINATION_UNREACHABLE);
      assert.equal(kind.code(view, l4At), isV4 ? 3 : 4);
    });
  }

  test(`an echo is answered, a reset and an ICMP error are not, rejected ${where}`, () => {
    answerTo(workerWith(rules), echoFrame(vm1));
    const error = echoFrame(vm1);
    error[34] = icmp.TIME_EXCEEDED;
    icmp.updateChecksum(viewOf(error), 34, error.length);
    for (const frame of [tcpFrame(vm1, [nextPort++, 80], { flags: tcp.RST }), error]) {
      const worker = workerWith(rules);
      worker.send(frame, VM1_DEVICE);
      assert.equal(worker.toDevice(VM1_DEVICE).length, 0);
      assert.equal(worker.dropped("acl-reject"), 1);
    }
  });

  test(`answers are limited, and what gets none is dropped all the same, ${where}`, () => {
    const worker = workerWith(rules);
    const port = nextPort++;
    for (let i = 0; i < 600; i++) {
      worker.send(tcpFrame(vm1, [port, 80 + i], { flags: tcp.SYN }), VM1_DEVICE);
    }
    assert.equal(worker.toDevice(VM1_DEVICE).length, 500);
    assert.equal(worker.dropped("acl-reject"), 600);
  });

  test(`fragments and groups get no answer, rejected ${where}`, () => {
    const first = udpFrame(vm1, 8, [nextPort++, 53]);
    const view = viewOf(first);
    view.setUint16(20, 0x2000); // More fragments.
    ipv4.updateChecksum(view, 14);
    const group = udpFrame({ ...vm1, to: "224.0.0.251", toMac: "01:00:5e:00:00:fb" }, 8);
    for (const frame of [first, group]) {
      const worker = workerWith(rules);
      worker.send(frame, VM1_DEVICE);
      assert.equal(worker.toDevice(VM1_DEVICE).length, 0);
      drain(worker);
    }
  });
}

test("rejected from the port, the answer runs the second half of the pipeline only", () => {
  const worker = workerWith(FROM_VM1);
  answerTo(worker, udpFrame(vm1, 8, [nextPort++, 53]));
  const passed = Array.from({ length: 16 }, (_, i) => worker.counters.stage(i).packets);
  assert.deepEqual(passed, [1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
});

test("rejected to the port, the answer begins at stage 6 as the port's own", () => {
  const worker = workerWith(TO_VM4);
  answerTo(worker, udpFrame(vm1, 8, [nextPort++, 53]));
  const passed = Array.from({ length: 16 }, (_, i) => worker.counters.stage(i).packets);
  assert.deepEqual(passed, [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1]);
});

test("within a switch the answer needs no router", () => {
  const worker = workerWith([{ ...REJECT, direction: acls.TO_PORT, port: VM2 }]);
  const ends: Ends = { ...vm1, to: "10.0.1.11", toMac: MACS[VM2]! };
  const seen = answerTo(worker, tcpFrame(ends, [nextPort++, 80], SYN));
  assert.deepEqual(seen.macs, [MACS[VM1]!, MACS[VM2]!]);
  assert.deepEqual(seen.addresses, ["10.0.1.11", "10.0.1.10"]);
  assert.equal(ipv4.ttl(seen.view, 14), 64);
});

test("the answer crosses back to the chassis of the sender", () => {
  const port = nextPort++;
  const worker = workerWith(TO_VM4);
  const vm3: Ends = {
    ...{ from: "10.0.1.12", fromMac: MACS[ROUTER_DB]!, to: "10.0.2.10", toMac: MACS[VM4]! },
  };
  const slot = worker.receive(tcpFrame(vm3, [port, 80], SYN), -1);
  parse(slot);
  packet.setDatapath(slot, 1);
  packet.setInPort(slot, ROUTER_DB);
  packet.setOutPort(slot, VM4);
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_FROM_TUNNEL | packet.FLAG_ROUTED);
  packet.setHandOffsLeft(slot, 1);
  worker.arrivals.stages[8]!.add(slot);
  worker.run();
  const { chassis } = worker.core.outlets;
  assert.equal(chassis.count, 1);
  assert.equal(chassis.slots[0], slot);
  assert.deepEqual([packet.stage(slot), packet.outPort(slot)], [8, VM3]);
  assert.equal(packet.handOffsLeft(slot), packet.HAND_OFFS_MAX);
  const [frame] = worker.toChassis();
  const seen = look(frame!);
  assert.deepEqual(seen.macs, [MACS[VM3]!, MACS[ROUTER_WEB]!]);
  assert.deepEqual(seen.addresses, ["10.0.2.10", "10.0.1.12"]);
});

test("a connection that is rejected later is reset, and its answers stop", () => {
  const port = nextPort++;
  const worker = workerWith([]);
  const back: Ends = {
    ...{ from: "10.0.2.10", fromMac: MACS[VM4]!, to: "10.0.1.10", toMac: MACS[ROUTER_DB]! },
  };
  const send = (frame: Uint8Array, from: number, to: number): number => {
    worker.send(frame, from);
    return worker.toDevice(to).length;
  };
  const synAck = { flags: tcp.SYN | tcp.ACK, sequence: 50, acknowledgment: 11 };
  const ack = { flags: tcp.ACK, sequence: 11, acknowledgment: 51 };
  const syn = tcpFrame(vm1, [port, 80], { flags: tcp.SYN, sequence: 10 });
  assert.equal(send(syn, VM1_DEVICE, VM4_DEVICE), 1);
  assert.equal(send(tcpFrame(back, [80, port], synAck), VM4_DEVICE, VM1_DEVICE), 1);
  assert.equal(send(tcpFrame(vm1, [port, 80], ack), VM1_DEVICE, VM4_DEVICE), 1);
  worker.core.tables = buildTables(2, [REJECT]);
  worker.send(tcpFrame(vm1, [port, 80], { ...ack, payload: 9 }), VM1_DEVICE);
  const [reset] = worker.toDevice(VM1_DEVICE);
  assert.ok(reset);
  assert.deepEqual([tcp.flags(look(reset).view, 34), tcp.sequence(look(reset).view, 34)], [4, 51]);
  const data = { flags: tcp.ACK, sequence: 51, acknowledgment: 11, payload: 5 };
  assert.equal(send(tcpFrame(back, [80, port], data), VM4_DEVICE, VM1_DEVICE), 0);
});

test("random frames against rejecting rules never throw and lose no slot", () => {
  const base = [
    udpFrame({ ...vm1 }, 20),
    udpFrame(vm1v6, 20),
    tcpFrame(vm1, [1, 80], DATA),
    tcpFrame(vm1v6, [1, 80], SYN),
    echoFrame(vm1),
    arpRequest(MACS[VM1]!, "10.0.1.10", "10.0.1.12"),
    solicitation({ ...vm1v6, to: "ff02::1:ff00:1", toMac: "33:33:ff:00:00:01" }, "fd00:0:0:1::1"),
  ];
  const change = fc.record({ at: fc.nat(90), value: fc.nat(255) });
  const workers = [FROM_VM1, TO_VM4].map(workerWith);
  const free = workers[0]!.freeSlots();
  let nowMs = 1;
  fc.assert(
    fc.property(
      fc.constantFrom(...base),
      fc.array(change, { maxLength: 6 }),
      fc.constantFrom(...workers),
      (frame, changes, worker) => {
        const copy = frame.slice();
        for (const { at, value } of changes) if (at < copy.length) copy[at] = value;
        if (copy[12] === 8) repairIpv4(copy);
        worker.core.nowMs = nowMs++;
        worker.send(copy, VM1_DEVICE);
        drain(worker);
        assert.equal(worker.freeSlots(), free);
      },
    ),
    { numRuns: 4000 },
  );
});

/** Lets changed headers through the first check. */
function repairIpv4(frame: Uint8Array): void {
  const view = viewOf(frame);
  if (ipv4.isValid(view, 14, frame.length)) ipv4.updateChecksum(view, 14);
}

function drain(worker: TestWorker): void {
  for (let device = 0; device < 3; device++) worker.toDevice(device);
  worker.toWorker(1);
  worker.toChassis();
}
