import assert from "node:assert/strict";
import { test } from "node:test";
import { neverReadsPastEnd, place, shortestValid, toHex } from "../test/bytes.ts";
import { LINUX_UDP4 } from "../test/frames.ts";
import * as udp from "./udp.ts";

const datagram = LINUX_UDP4.subarray(34);

test("reads every field", () => {
  const { view, at } = place(datagram);
  assert.equal(udp.sourcePort(view, at), 57600);
  assert.equal(udp.destinationPort(view, at), 4242);
  assert.equal(udp.length(view, at), 11);
  assert.equal(udp.checksum(view, at), 0x26cc);
});

test("writes the header that Linux wrote", () => {
  const { view, at, bytes } = place(new Uint8Array(udp.HEADER_SIZE).fill(0xff));
  udp.write(view, at, 57600, 4242, 0);
  assert.equal(udp.checksum(view, at), 0);
  udp.setLength(view, at, 11);
  udp.setChecksum(view, at, 0x26cc);
  assert.equal(toHex(bytes), toHex(datagram.subarray(0, 8)));
});

test("refuses a length shorter than the header; a longer one may be a fragment's", () => {
  for (const [length, isValid] of [
    [0, false],
    [7, false],
    [8, true],
    [255, true],
  ] as const) {
    const { view, at, end } = place(datagram.with(5, length));
    assert.equal(udp.isValid(view, at, end), isValid, `length ${length}`);
  }
});

test("needs 8 bytes and reads no more", () => {
  assert.equal(shortestValid(datagram, udp.isValid), 8);
  neverReadsPastEnd([datagram], udp.isValid, (view, at) => {
    udp.write(view, at, udp.sourcePort(view, at), udp.destinationPort(view, at), 8);
    udp.setChecksum(view, at, udp.checksum(view, at));
  });
});
