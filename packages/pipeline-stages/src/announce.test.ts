import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress, formatMac } from "@rhone/wire/address";
import * as arp from "@rhone/wire/arp";
import * as checksum from "@rhone/wire/checksum";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as nd from "@rhone/wire/nd";
import { viewOf } from "../test/frames.ts";
import { MACS, ROUTER_WEB, TestWorker } from "../test/network.ts";
import { announceRouters } from "./announce.ts";

const L3 = ethernet.HEADER_SIZE;
const L4 = L3 + ipv6.HEADER_SIZE;

test("the routers of a device's switch are announced by it, for each address", () => {
  const worker = new TestWorker();
  const free = worker.freeSlots();
  announceRouters(worker.core, 0);
  const frames = worker.toDevice(0);
  const told = frames.map((frame) => {
    const view = viewOf(frame);
    const high = ethernet.sourceHigh(view, 0);
    assert.equal(formatMac({ high, low: ethernet.sourceLow(view, 0) }), MACS[ROUTER_WEB]);
    return ethernet.etherType(view, 0) === ethernet.ETHERTYPE_ARP
      ? toldByArp(view)
      : toldByNd(view);
  });
  assert.deepEqual(told, ["10.0.1.1", "fd00:0:0:1::1", "fe80::ff:fe00:101"]);
  assert.deepEqual(worker.toDevice(1), []);
  assert.equal(worker.freeSlots(), free);
});

test("a device without a port, or without a slot left, announces nothing", () => {
  const worker = new TestWorker();
  announceRouters(worker.core, 63);
  while (worker.core.allocator.takeSmall() >= 0);
  announceRouters(worker.core, 0);
  assert.deepEqual([worker.toDevice(63), worker.toDevice(0)], [[], []]);
});

/** As RFC 5227 §2.3 has an announcement; returns the address. */
function toldByArp(view: DataView): string {
  assert.ok(arp.isValid(view, L3, view.byteLength) && ethernet.isBroadcast(view, 0));
  assert.equal(arp.operation(view, L3), arp.REQUEST);
  assert.equal(arp.senderIp(view, L3), arp.targetIp(view, L3));
  return formatAddress([0, 0, 0xffff, arp.senderIp(view, L3) >>> 0]);
}

/** As RFC 4861 §7.2.6 has an unsolicited advertisement; returns the address. */
function toldByNd(view: DataView): string {
  const end = view.byteLength;
  assert.ok(ipv6.isValid(view, L3, end) && nd.isValid(view, L4, end));
  assert.equal(ethernet.destinationHigh(view, 0), 0x33330000);
  assert.equal(ipv6.hopLimit(view, L3), nd.HOP_LIMIT);
  assert.equal(nd.isSolicited(view, L4), false);
  const pseudo = checksum.pseudoHeader6(view, L3, ipv4.PROTOCOL_ICMPV6, nd.ADVERTISEMENT_SIZE);
  assert.equal(checksum.fold(checksum.sum(view, L4, end, pseudo)), 0);
  const words = [0, 1, 2, 3].map((word) => nd.targetWord(view, L4, word) >>> 0);
  return formatAddress(words as [number, number, number, number]);
}
