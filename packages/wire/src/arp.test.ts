import assert from "node:assert/strict";
import { test } from "node:test";
import { neverReadsPastEnd, place, shortestValid, toHex } from "../test/bytes.ts";
import { LINUX_ARP_REPLY, LINUX_ARP_REQUEST } from "../test/frames.ts";
import * as arp from "./arp.ts";

const request = LINUX_ARP_REQUEST.subarray(14);
const reply = LINUX_ARP_REPLY.subarray(14);

test("reads every field of a reply", () => {
  const { view, at } = place(reply);
  assert.equal(arp.operation(view, at), arp.REPLY);
  assert.equal(arp.senderMacHigh(view, at), 0x02000000);
  assert.equal(arp.senderMacLow(view, at), 0x0b02);
  assert.equal(arp.senderIp(view, at), 0x0a090002);
  assert.equal(arp.targetMacHigh(view, at), 0x02000000);
  assert.equal(arp.targetMacLow(view, at), 0x0a01);
  assert.equal(arp.targetIp(view, at), 0x0a090001);
});

test("turns a request into the reply that Linux gave", () => {
  const { view, at, bytes } = place(request);
  arp.turnIntoReply(view, at, 0x02000000, 0x0b02);
  assert.equal(toHex(bytes), toHex(reply));
});

test("writes a request", () => {
  const { view, at, bytes } = place(new Uint8Array(arp.SIZE));
  arp.write(view, at, arp.REQUEST, 0x02000000, 0x0a01, 0x0a090001, 0, 0, 0x0a090002);
  assert.equal(toHex(bytes), toHex(request));
});

test("refuses other hardware, other protocols and other lengths", () => {
  for (let i = 0; i < 6; i++) {
    const { view, at, end } = place(request.with(i, request[i]! ^ 0x01));
    assert.equal(arp.isValid(view, at, end), false, `byte ${i}`);
  }
});

test("needs 28 bytes and reads no more", () => {
  assert.equal(shortestValid(request, arp.isValid), 28);
  neverReadsPastEnd([request, reply], arp.isValid, (view, at) => {
    arp.operation(view, at);
    arp.targetMacHigh(view, at);
    arp.targetMacLow(view, at);
    arp.turnIntoReply(view, at, 0, 0);
  });
});
