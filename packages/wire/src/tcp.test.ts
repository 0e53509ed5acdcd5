import assert from "node:assert/strict";
import { test } from "node:test";
import { neverReadsPastEnd, place, shortestValid } from "../test/bytes.ts";
import { OVN_BALANCED_SYN, OVN_TCP } from "../test/frames.ts";
import * as checksum from "./checksum.ts";
import * as ipv4 from "./ipv4.ts";
import * as tcp from "./tcp.ts";

/** Outer Ethernet, IPv4, UDP, Geneve with OVN's option, inner Ethernet. */
const INNER_IP = 14 + 20 + 8 + 16 + 14;
const segment = OVN_TCP.subarray(INNER_IP + 20);
const syn = OVN_BALANCED_SYN.subarray(INNER_IP + 20);

test("reads every field of a segment with payload", () => {
  const { view, at } = place(segment);
  assert.equal(tcp.sourcePort(view, at), 40460);
  assert.equal(tcp.destinationPort(view, at), 5432);
  assert.equal(tcp.sequence(view, at), 0xe604305e | 0);
  assert.equal(tcp.acknowledgment(view, at), 0xd04e93dc | 0);
  assert.equal(tcp.headerSize(view, at), 32);
  assert.equal(tcp.flags(view, at), tcp.PSH | tcp.ACK);
  assert.equal(tcp.window(view, at), 63);
  assert.equal(tcp.checksum(view, at), 0xf02d);
});

test("reads a SYN with options", () => {
  const { view, at } = place(syn);
  assert.equal(tcp.flags(view, at), tcp.SYN);
  assert.equal(tcp.headerSize(view, at), 40);
});

test("the checksum of a real segment verifies, and after changes can be made anew", () => {
  const { view, at, end } = place(OVN_TCP.subarray(INNER_IP));
  const l4At = at + ipv4.HEADER_SIZE;
  const verify = (): number => {
    const pseudo = checksum.pseudoHeader4(view, at, ipv4.PROTOCOL_TCP, end - l4At);
    return checksum.fold(checksum.sum(view, l4At, end, pseudo));
  };
  assert.equal(verify(), 0);
  tcp.setSequence(view, l4At, -2);
  tcp.setFlags(view, l4At, tcp.FIN | tcp.RST | tcp.CWR);
  tcp.setChecksum(view, l4At, 0);
  assert.equal(tcp.sequence(view, l4At), -2);
  assert.equal(tcp.flags(view, l4At), 0x85);
  tcp.setChecksum(view, l4At, verify());
  assert.equal(verify(), 0);
});

test("refuses a data offset inside the header or past the end", () => {
  for (const words of [0, 4, 15]) {
    const { view, at, end } = place(segment.subarray(0, 32).with(12, words << 4));
    assert.equal(tcp.isValid(view, at, end), false, `${words} words`);
  }
});

test("needs the whole header with its options and reads no more", () => {
  assert.equal(shortestValid(segment, tcp.isValid), 32);
  neverReadsPastEnd([segment, syn], tcp.isValid, (view, at) => {
    view.getUint8(at + tcp.headerSize(view, at) - 1);
    tcp.window(view, at);
    tcp.setChecksum(view, at, tcp.checksum(view, at));
  });
});
