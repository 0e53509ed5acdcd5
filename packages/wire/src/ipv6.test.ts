import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, neverReadsPastEnd, place, shortestValid, toHex } from "../test/bytes.ts";
import {
  LINUX_ADVERTISEMENT,
  LINUX_FRAGMENT6_FIRST,
  LINUX_FRAGMENT6_LAST,
  LINUX_LISTENER_REPORT,
  LINUX_PING6,
  LINUX_UDP6,
} from "../test/frames.ts";
import * as ipv6 from "./ipv6.ts";

const ping = LINUX_PING6.subarray(14);
const report = LINUX_LISTENER_REPORT.subarray(14);
const lastFragment = LINUX_FRAGMENT6_LAST.subarray(14);

/** An IPv6 packet with this chain of extension headers behind the fixed one. */
function withChain(nextHeader: number, chainHex: string): Uint8Array {
  const chain = fromHex(chainHex);
  const packet = new Uint8Array(40 + chain.length);
  const { view, at, bytes } = place(packet);
  ipv6.write(view, at, chain.length, nextHeader, 64);
  bytes.set(chain, 40);
  return bytes;
}

/** What the walk says; the offset is from the header, 0 and -1 stay as they are. */
function walk(packet: Uint8Array): [transport: number, protocol: number, isFragment: boolean] {
  const { view, at, end } = place(packet);
  const transport = ipv6.findTransport(view, at, end);
  return [
    transport > 0 ? transport - at : transport,
    ipv6.transportProtocol(view, at, end),
    ipv6.isFragment(view, at, end),
  ];
}

test("reads every field", () => {
  const { view, at } = place(ping.with(0, 0x6b).with(1, 0x8a));
  assert.equal(ipv6.trafficClass(view, at), 0xb8);
  assert.equal(ipv6.flowLabel(view, at), 0xaed17);
  assert.equal(ipv6.payloadLength(view, at), 64);
  assert.equal(ipv6.nextHeader(view, at), 58);
  assert.equal(ipv6.hopLimit(view, at), 64);
  const words = [0, 1, 2, 3];
  assert.deepEqual(
    words.map((word) => ipv6.sourceWord(view, at, word)),
    [0xfd000009 | 0, 0, 0, 1],
  );
  assert.deepEqual(
    words.map((word) => ipv6.destinationWord(view, at, word)),
    [0xfd000009 | 0, 0, 0, 2],
  );
});

test("writes the header that Linux wrote", () => {
  const { view, at, bytes } = place(new Uint8Array(ipv6.HEADER_SIZE).fill(0xff));
  ipv6.write(view, at, 0, 0, 0);
  ipv6.setPayloadLength(view, at, 32);
  ipv6.setNextHeader(view, at, 58);
  ipv6.setHopLimit(view, at, 255);
  for (const [word, value] of [0xfd000009 | 0, 0, 0, 2].entries()) {
    ipv6.setSourceWord(view, at, word, value);
    ipv6.setDestinationWord(view, at, word, word === 3 ? 1 : value);
  }
  assert.equal(toHex(bytes), toHex(LINUX_ADVERTISEMENT.subarray(14, 54)));
});

test("finds the transport header without extension headers and behind a hop-by-hop header", () => {
  assert.deepEqual(walk(LINUX_UDP6.subarray(14)), [40, 17, false]);
  assert.deepEqual(walk(report), [48, 58, false]);
});

test("finds it in the first fragment only, and the protocol in every one", () => {
  assert.deepEqual(walk(LINUX_FRAGMENT6_FIRST.subarray(14)), [48, 58, true]);
  assert.deepEqual(walk(lastFragment), [0, 58, true]);
});

test("does not take the data of a later fragment for more headers", () => {
  const destinationBehindFragment = "3c00 0010 00000001 1100 0104 00000000";
  assert.deepEqual(walk(withChain(44, destinationBehindFragment)), [0, 60, true]);
});

test("walks every kind of extension header by its own length", () => {
  const hopByHop = "2b00 0104 0000 0000"; // next: routing
  const routing = "3c02 0401 0000 0000 fd00000a000000000000000000000001"; // 24 bytes
  const destination = "3300 0104 0000 0000"; // next: authentication
  const authentication = "0604 0000 00000001 00000001 112233445566778899aabbcc"; // 24 bytes
  const chain = hopByHop + routing + destination + authentication + "ffff";
  assert.deepEqual(walk(withChain(0, chain)), [40 + 8 + 24 + 8 + 24, 6, false]);
});

test("a chain that is cut off at any byte is no chain", () => {
  const chain = `2b00010400000000 3c02040100000000 ${"00".repeat(16)} 1100010400000000`;
  const whole = withChain(0, chain);
  for (let length = 40; length < whole.length; length++) {
    const { view, at, end } = place(whole.subarray(0, length));
    assert.equal(ipv6.findTransport(view, at, end), -1, `${length} bytes`);
  }
  assert.deepEqual(walk(whole), [40 + 8 + 24 + 8, 17, false]);
});

test("eight extension headers are walked, nine are refused", () => {
  const options = "3c00010400000000"; // destination options, next the same
  const last = "1100010400000000";
  assert.deepEqual(walk(withChain(60, options.repeat(7) + last)), [104, 17, false]);
  assert.equal(walk(withChain(60, options.repeat(8) + last))[0], -1);
});

test("refuses another version and a payload that is not all there", () => {
  const { view, at, end } = place(ping.with(0, 0x40));
  assert.equal(ipv6.isValid(view, at, end), false);
  assert.equal(shortestValid(ping, ipv6.isValid), 104);
});

test("reads no byte past the end", () => {
  neverReadsPastEnd([ping, report, lastFragment], ipv6.isValid, (view, at, end) => {
    const packetEnd = at + ipv6.HEADER_SIZE + ipv6.payloadLength(view, at);
    const transport = ipv6.findTransport(view, at, packetEnd);
    assert.ok(transport <= packetEnd && packetEnd <= end);
    ipv6.transportProtocol(view, at, packetEnd);
    ipv6.isFragment(view, at, packetEnd);
    ipv6.destinationWord(view, at, 3);
  });
});
