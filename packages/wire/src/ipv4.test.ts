import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { neverReadsPastEnd, place, shortestValid, toHex } from "../test/bytes.ts";
import {
  LINUX_FRAGMENT_FIRST,
  LINUX_FRAGMENT_LAST,
  LINUX_PING_RECORD_ROUTE,
  LINUX_UDP4,
  OVN_PING,
} from "../test/frames.ts";
import * as ipv4 from "./ipv4.ts";

const udp = LINUX_UDP4.subarray(14);
const withOptions = LINUX_PING_RECORD_ROUTE.subarray(14);

test("reads every field of a header without options", () => {
  const { view, at } = place(udp);
  assert.equal(ipv4.headerSize(view, at), 20);
  assert.equal(ipv4.totalLength(view, at), 31);
  assert.equal(ipv4.identification(view, at), 65379);
  assert.equal(ipv4.dontFragment(view, at), true);
  assert.equal(ipv4.isFragment(view, at), false);
  assert.equal(ipv4.ttl(view, at), 64);
  assert.equal(ipv4.protocol(view, at), ipv4.PROTOCOL_UDP);
  assert.equal(ipv4.headerChecksum(view, at), 0x2756);
  assert.equal(ipv4.source(view, at), 0x0a090001);
  assert.equal(ipv4.destination(view, at), 0x0a090002);
});

test("reads a header with 40 bytes of options and verifies its checksum", () => {
  const { view, at } = place(withOptions);
  assert.equal(ipv4.headerSize(view, at), 60);
  assert.equal(ipv4.headerChecksumIsValid(view, at), true);
});

test("knows the first and the last fragment", () => {
  const first = place(LINUX_FRAGMENT_FIRST.subarray(14));
  assert.equal(ipv4.fragmentOffset(first.view, first.at), 0);
  assert.equal(ipv4.moreFragments(first.view, first.at), true);
  assert.equal(ipv4.isFragment(first.view, first.at), true);
  const last = place(LINUX_FRAGMENT_LAST.subarray(14));
  assert.equal(ipv4.fragmentOffset(last.view, last.at) * 8, 1480);
  assert.equal(ipv4.moreFragments(last.view, last.at), false);
  assert.equal(ipv4.isFragment(last.view, last.at), true);
});

test("finds every single flipped bit by the checksum", () => {
  for (let bit = 0; bit < 20 * 8; bit++) {
    if (bit >= 4 && bit < 8) continue; // The header length: it moves the checked range.
    const changed = udp.with(bit >> 3, udp[bit >> 3]! ^ (0x80 >> (bit & 7)));
    const { view, at } = place(changed);
    assert.equal(ipv4.headerChecksumIsValid(view, at), false, `bit ${bit}`);
  }
});

test("the TTL goes down by one and the checksum with it, whatever they were", () => {
  const field = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 255 }), field, field, (ttl, source, destination) => {
      const { view, at, bytes } = place(new Uint8Array(ipv4.HEADER_SIZE));
      ipv4.write(view, at, 20, ttl, ipv4.PROTOCOL_TCP, source, destination);
      ipv4.decrementTtl(view, at);
      assert.equal(ipv4.ttl(view, at), ttl - 1);
      const incremental = toHex(bytes);
      ipv4.updateChecksum(view, at);
      assert.equal(incremental, toHex(bytes));
    }),
  );
});

test("writes the outer header that OVN's kernel wrote", () => {
  const { view, at, bytes } = place(new Uint8Array(ipv4.HEADER_SIZE).fill(0xff));
  ipv4.write(view, at, 142, 64, ipv4.PROTOCOL_UDP, 0xac100001 | 0, 0xac100002 | 0);
  assert.equal(toHex(bytes), toHex(OVN_PING.subarray(14, 34)));
  assert.equal(ipv4.source(view, at), 0xac100001 | 0);
});

test("setters change their field only", () => {
  const { view, at } = place(withOptions);
  ipv4.setTotalLength(view, at, 61);
  ipv4.setIdentification(view, at, 0xfffe);
  ipv4.setTtl(view, at, 1);
  ipv4.setSource(view, at, -1);
  ipv4.setDestination(view, at, 0x7f000001);
  ipv4.updateChecksum(view, at);
  assert.equal(ipv4.headerChecksumIsValid(view, at), true);
  assert.deepEqual(
    [
      ipv4.totalLength(view, at),
      ipv4.identification(view, at),
      ipv4.ttl(view, at),
      ipv4.source(view, at),
      ipv4.destination(view, at),
      ipv4.protocol(view, at),
    ],
    [61, 0xfffe, 1, -1, 0x7f000001, ipv4.PROTOCOL_ICMP],
  );
});

test("refuses another version, a short IHL and lengths that contradict each other", () => {
  const changes: [index: number, value: number][] = [
    [0, 0x65],
    [0, 0x44],
    [0, 0x4f], // 60 bytes of header in 31 of packet
    [3, 19],
    [3, 32],
  ];
  for (const [index, value] of changes) {
    const { view, at, end } = place(udp.with(index, value));
    assert.equal(ipv4.isValid(view, at, end), false, `byte ${index} = ${value}`);
  }
});

test("needs its total length and allows padding behind it", () => {
  const padded = new Uint8Array(46);
  padded.set(udp);
  assert.equal(shortestValid(padded, ipv4.isValid), 31);
});

test("reads no byte past the end", () => {
  neverReadsPastEnd([udp, withOptions], ipv4.isValid, (view, at) => {
    ipv4.headerChecksumIsValid(view, at);
    ipv4.moreFragments(view, at);
    ipv4.dontFragment(view, at);
    ipv4.setSource(view, at, ipv4.destination(view, at));
    ipv4.setDestination(view, at, ipv4.source(view, at));
    ipv4.decrementTtl(view, at);
    ipv4.updateChecksum(view, at);
  });
});
