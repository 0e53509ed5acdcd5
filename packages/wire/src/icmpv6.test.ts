import assert from "node:assert/strict";
import { test } from "node:test";
import { neverReadsPastEnd, place, shortestValid, toHex } from "../test/bytes.ts";
import { LINUX_PING6, LINUX_PONG6, LINUX_ROUTER_SOLICITATION } from "../test/frames.ts";
import * as icmpv6 from "./icmpv6.ts";

const ping = LINUX_PING6.subarray(54);

test("reads the header of an echo request", () => {
  const { view, at } = place(ping);
  assert.equal(icmpv6.type(view, at), icmpv6.ECHO_REQUEST);
  assert.equal(icmpv6.code(view, at), 0);
  assert.equal(icmpv6.checksum(view, at), 0x950c);
});

test("turns an echo request into the reply that Linux gave, checksum included", () => {
  const { view, at, bytes } = place(ping);
  icmpv6.turnEchoIntoReply(view, at);
  assert.equal(toHex(bytes), toHex(LINUX_PONG6.subarray(54)));
});

test("computes the checksums that Linux computed, pseudo header included", () => {
  for (const frame of [LINUX_PING6, LINUX_ROUTER_SOLICITATION]) {
    const { view, at, end, bytes } = place(frame);
    view.setUint16(at + 56, 0xbeef);
    icmpv6.updateChecksum(view, at + 14, at + 54, end);
    assert.equal(toHex(bytes), toHex(frame));
  }
});

test("writes a header with checksum and body word 0", () => {
  const { view, at, bytes } = place(new Uint8Array(8).fill(0xff));
  icmpv6.write(view, at, icmpv6.TIME_EXCEEDED, 1);
  assert.equal(toHex(bytes), "0301000000000000");
});

test("needs 8 bytes and reads no more", () => {
  assert.equal(shortestValid(ping, icmpv6.isValid), 8);
  neverReadsPastEnd([ping], icmpv6.isValid, (view, at) => {
    icmpv6.turnEchoIntoReply(view, at);
    icmpv6.write(view, at, icmpv6.type(view, at), icmpv6.code(view, at));
  });
});
