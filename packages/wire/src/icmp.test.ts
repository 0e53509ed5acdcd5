import assert from "node:assert/strict";
import { test } from "node:test";
import { neverReadsPastEnd, place, shortestValid, toHex } from "../test/bytes.ts";
import {
  LINUX_PING_RECORD_ROUTE,
  LINUX_PONG_RECORD_ROUTE,
  LINUX_UNREACHABLE4,
} from "../test/frames.ts";
import * as icmp from "./icmp.ts";

const ping = LINUX_PING_RECORD_ROUTE.subarray(14 + 60);
const pong = LINUX_PONG_RECORD_ROUTE.subarray(14 + 60);
const unreachable = LINUX_UNREACHABLE4.subarray(34);

test("reads every field of an echo request", () => {
  const { view, at } = place(ping);
  assert.equal(icmp.type(view, at), icmp.ECHO_REQUEST);
  assert.equal(icmp.code(view, at), 0);
  assert.equal(icmp.checksum(view, at), 0x0d59);
  assert.equal(icmp.identifier(view, at), 12321);
  assert.equal(icmp.sequence(view, at), 1);
});

test("turns an echo request into the reply that Linux gave, checksum included", () => {
  const { view, at, bytes } = place(ping);
  icmp.turnEchoIntoReply(view, at);
  assert.equal(toHex(bytes), toHex(pong));
});

test("writes the error that Linux wrote around an odd number of bytes", () => {
  const { view, at, end, bytes } = place(unreachable);
  icmp.write(view, at, icmp.DESTINATION_UNREACHABLE, 3, 0);
  assert.equal(icmp.checksum(view, at), 0);
  icmp.updateChecksum(view, at, end);
  assert.equal(toHex(bytes), toHex(unreachable));
});

test("needs 8 bytes and reads no more", () => {
  assert.equal(shortestValid(ping, icmp.isValid), 8);
  neverReadsPastEnd([ping, unreachable], icmp.isValid, (view, at, end) => {
    icmp.write(view, at, icmp.type(view, at), icmp.code(view, at), icmp.sequence(view, at));
    icmp.turnEchoIntoReply(view, at);
    icmp.identifier(view, at);
    icmp.updateChecksum(view, at, end);
  });
});
