import assert from "node:assert/strict";
import { test } from "node:test";
import * as packet from "@rhone/rings/packet";
import type { Tables } from "@rhone/tables/generation";
import type { BackendRow, VipRow } from "@rhone/tables/load-balancers";
import { formatAddress } from "@rhone/wire/address";
import * as checksum from "@rhone/wire/checksum";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmp from "@rhone/wire/icmp";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as tcp from "@rhone/wire/tcp";
import { type Ends, pseudoHeader, tcpFrame, udpFrame, viewOf } from "../test/frames.ts";
import {
  buildTables,
  ip,
  MACS,
  ROUTER_DB,
  ROUTER_WEB,
  TestWorker,
  VM1,
  VM4,
} from "../test/network.ts";

const VM1_DEVICE = 0;
const VM4_DEVICE = 2;
const VIP = "10.0.9.9";
const VIP_V6 = "fd00:0:0:9::9";
const TCP = ipv4.PROTOCOL_TCP;
const UDP = ipv4.PROTOCOL_UDP;

const toVip: Ends = {
  ...{ from: "10.0.1.10", fromMac: MACS[VM1]!, to: VIP, toMac: MACS[ROUTER_WEB]! },
};
const toVipV6: Ends = { ...toVip, from: "fd00:0:0:1::10", to: VIP_V6 };
const fromVm4: Ends = {
  ...{ from: "10.0.2.10", fromMac: MACS[VM4]!, to: "10.0.1.10", toMac: MACS[ROUTER_DB]! },
};
const fromVm4V6: Ends = { ...fromVm4, from: "fd00:0:0:2::10", to: "fd00:0:0:1::10" };

function vip(address: string, protocol: number, servicePort: number, ...own: BackendRow[]): VipRow {
  return { datapath: 0, address: ip(address), protocol, servicePort, backends: own, rejects: true };
}

const VM4_ONLY: readonly VipRow[] = [
  vip(VIP, UDP, 53, { address: ip("10.0.2.10"), port: 5353 }),
  vip(VIP, TCP, 80, { address: ip("10.0.2.10"), port: 0 }),
  vip(VIP_V6, UDP, 53, { address: ip("fd00:0:0:2::10"), port: 5353 }),
];

function tablesWith(generation: number, vips: readonly VipRow[]): Tables {
  return buildTables(generation, [], null, new Map(), [], [], vips);
}

function workerWith(vips: readonly VipRow[]): TestWorker {
  return new TestWorker(0, tablesWith(1, vips));
}

/** Connections outlive a test: each has a port of its own. */
let nextPort = 20_000;

interface Seen {
  readonly from: string;
  readonly to: string;
  readonly ports: readonly [number, number];
}

/** The ends of a whole frame; its checksums must be right. */
function look(frame: Uint8Array): Seen {
  const view = viewOf(frame);
  const isV4 = ethernet.etherType(view, 0) === ethernet.ETHERTYPE_IPV4;
  const l4At = isV4 ? 34 : 54;
  const protocol = isV4 ? ipv4.protocol(view, 14) : ipv6.nextHeader(view, 14);
  const pseudo = pseudoHeader(view, l4At, protocol, frame.length - l4At);
  assert.equal(checksum.fold(checksum.sum(view, l4At, frame.length, pseudo)), 0, "checksum");
  if (isV4) assert.ok(ipv4.headerChecksumIsValid(view, 14));
  const address = (at: number): string =>
    isV4
      ? formatAddress([0, 0, 0xffff, view.getInt32(14 + 12 + at * 4)])
      : formatAddress([0, 4, 8, 12].map((i) => view.getInt32(14 + 8 + at * 16 + i)) as never);
  return {
    ...{ from: address(0), to: address(1) },
    ports: [view.getUint16(l4At), view.getUint16(l4At + 2)],
  };
}

test("a datagram to a VIP goes to a backend at its port, and the answer comes from the VIP", () => {
  for (const [there, back] of [
    [toVip, fromVm4],
    [toVipV6, fromVm4V6],
  ] as const) {
    const worker = workerWith(VM4_ONLY);
    const port = nextPort++;
    for (let i = 0; i < 3; i++) {
      worker.send(udpFrame(there, 11, [port, 53]), VM1_DEVICE);
      const [sent, ...rest] = worker.toDevice(VM4_DEVICE);
      assert.equal(rest.length, 0);
      assert.deepEqual(look(sent!), { from: there.from, to: back.from, ports: [port, 5353] });
      worker.send(udpFrame(back, 4, [5353, port]), VM4_DEVICE);
      const [answer] = worker.toDevice(VM1_DEVICE);
      assert.deepEqual(look(answer!), { from: there.to, to: there.from, ports: [53, port] });
    }
  }
});

test("a flow keeps its backend when others come, and when all of them go", () => {
  const many = [10, 11].map((host) => ({ address: ip(`10.0.2.${host}`), port: 0 }));
  const worker = workerWith([vip(VIP, UDP, 53, many[0]!)]);
  const port = nextPort++;
  const send = (): number => {
    worker.send(udpFrame(toVip, 1, [port, 53]), VM1_DEVICE);
    return worker.toDevice(VM4_DEVICE).length;
  };
  assert.equal(send(), 1);
  for (const own of [many, many.toReversed(), many.slice(1), []]) {
    worker.core.tables = tablesWith(2, [vip(VIP, UDP, 53, ...own)]);
    assert.equal(send(), 1);
  }
});

test("what no backend serves is refused with a reset, a port unreachable or silence", () => {
  const empty = [vip(VIP, TCP, 80), vip(VIP, UDP, 53), { ...vip(VIP, UDP, 54), rejects: false }];
  const worker = workerWith(empty);
  worker.send(tcpFrame(toVip, [nextPort++, 80], { flags: tcp.SYN }), VM1_DEVICE);
  const [reset] = worker.toDevice(VM1_DEVICE);
  assert.equal(look(reset!).from, VIP);
  assert.equal(tcp.flags(viewOf(reset!), 34) & tcp.RST, tcp.RST);
  worker.send(udpFrame(toVip, 1, [nextPort++, 53]), VM1_DEVICE);
  const [error] = worker.toDevice(VM1_DEVICE);
  assert.equal(icmp.type(viewOf(error!), 34), icmp.DESTINATION_UNREACHABLE);
  worker.send(udpFrame(toVip, 1, [nextPort++, 54]), VM1_DEVICE);
  assert.equal(worker.toDevice(VM1_DEVICE).length, 0);
  assert.equal(worker.dropped("lb-no-backend"), 3);
});

test("an unfinished checksum of a super-frame stays one of the pseudo header", () => {
  const worker = workerWith(VM4_ONLY);
  const syn = tcpFrame(toVip, [nextPort++, 80], { flags: tcp.SYN, payload: 64 });
  const view = viewOf(syn);
  const pseudo = pseudoHeader(view, 34, TCP, syn.length - 34);
  tcp.setChecksum(view, 34, ~checksum.fold(pseudo) & 0xffff);
  const slot = worker.receive(syn, VM1_DEVICE);
  packet.setChecksumStart(slot, 34);
  packet.setChecksumOffset(slot, 16);
  worker.arrivals.stages[0]!.add(slot);
  worker.run();
  const [sent] = worker.toDevice(VM4_DEVICE);
  const after = viewOf(sent!);
  const expected = ~checksum.fold(pseudoHeader(after, 34, TCP, sent!.length - 34)) & 0xffff;
  assert.equal(tcp.checksum(after, 34), expected);
});

test("a flow of its own to the same backend and port does not mix with the balanced one", () => {
  const worker = workerWith(VM4_ONLY);
  const port = nextPort++;
  worker.send(udpFrame(toVip, 1, [port, 53]), VM1_DEVICE);
  assert.equal(worker.toDevice(VM4_DEVICE).length, 1);
  worker.send(udpFrame({ ...toVip, to: "10.0.2.10" }, 1, [port, 5353]), VM1_DEVICE);
  assert.equal(worker.toDevice(VM4_DEVICE).length, 0);
  assert.equal(worker.dropped("translation-conflict"), 1);
});

test("the owner of the balanced flow and that of the flow to the backend pass it on", () => {
  const worker = workerWith(VM4_ONLY);
  const port = nextPort++;
  worker.send(udpFrame(toVip, 1, [port, 53]), VM1_DEVICE);
  assert.equal(worker.toDevice(VM4_DEVICE).length, 1);
  // From now on every other bucket is another worker's; ours is that of the flow to the VIP.
  const { owners } = worker.core;
  const frame = udpFrame(toVip, 1, [port, 53]);
  const slot = worker.receive(frame, VM1_DEVICE);
  worker.arrivals.stages[0]!.add(slot);
  worker.isFast = false;
  worker.run();
  const outlet = worker.core.outlets.devices[VM4_DEVICE]!;
  const onward = packet.flowHash(outlet.slots[0]!) >>> 24;
  worker.take(outlet);
  owners[onward] = 1;
  worker.send(frame, VM1_DEVICE);
  const [crossing] = worker.toWorker(1);
  assert.deepEqual(look(crossing!), { from: toVip.from, to: "10.0.2.10", ports: [port, 5353] });
});
