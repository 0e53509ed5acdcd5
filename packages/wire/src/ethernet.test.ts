import assert from "node:assert/strict";
import { test } from "node:test";
import { neverReadsPastEnd, place, shortestValid, toHex } from "../test/bytes.ts";
import { LINUX_ARP_REQUEST, LINUX_PING6, LINUX_SOLICITATION } from "../test/frames.ts";
import * as ethernet from "./ethernet.ts";

test("reads the addresses and the EtherType of a frame", () => {
  const { view, at } = place(LINUX_PING6);
  assert.equal(ethernet.destinationHigh(view, at), 0x02000000);
  assert.equal(ethernet.destinationLow(view, at), 0x0b02);
  assert.equal(ethernet.sourceHigh(view, at), 0x02000000);
  assert.equal(ethernet.sourceLow(view, at), 0x0a01);
  assert.equal(ethernet.etherType(view, at), ethernet.ETHERTYPE_IPV6);
});

test("tells unicast, multicast and broadcast apart", () => {
  const claims = [LINUX_PING6, LINUX_SOLICITATION, LINUX_ARP_REQUEST].map((frame) => {
    const { view, at } = place(frame);
    return [ethernet.isMulticast(view, at), ethernet.isBroadcast(view, at)];
  });
  assert.deepEqual(claims, [
    [false, false],
    [true, false],
    [true, true],
  ]);
});

test("a written header is the captured one; high words are signed", () => {
  const { view, at, bytes } = place(new Uint8Array(ethernet.HEADER_SIZE));
  ethernet.write(view, at, -1, 0xffff, 0x02000000, 0x0a01, ethernet.ETHERTYPE_ARP);
  assert.equal(toHex(bytes), toHex(LINUX_ARP_REQUEST.subarray(0, 14)));
  assert.equal(ethernet.destinationHigh(view, at), -1);
});

test("swaps the addresses and nothing else", () => {
  const { view, at, bytes } = place(LINUX_PING6);
  ethernet.swapAddresses(view, at);
  const [destination, source] = [LINUX_PING6.subarray(0, 6), LINUX_PING6.subarray(6, 12)];
  assert.equal(toHex(bytes.subarray(0, 12)), toHex(source) + toHex(destination));
  assert.deepEqual(bytes.subarray(12), LINUX_PING6.subarray(12));
});

test("needs 14 bytes and reads no more", () => {
  assert.equal(shortestValid(LINUX_PING6, ethernet.isValid), 14);
  neverReadsPastEnd([LINUX_PING6], ethernet.isValid, (view, at) => {
    ethernet.swapAddresses(view, at);
    ethernet.setEtherType(view, at, ethernet.etherType(view, at));
    ethernet.isMulticast(view, at);
    ethernet.isBroadcast(view, at);
  });
});
