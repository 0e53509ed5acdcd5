import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type Address,
  formatAddress,
  formatMac,
  formatPrefix,
  isIpv4,
  linkLocalFromMac,
  networkOf,
  parseAddress,
  parseMac,
  parsePrefix,
  prefixContains,
} from "./address.ts";

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const sparseWord = fc.oneof(fc.constant(0), fc.constant(0xffff), fc.constant(1), word);
const addresses = fc.tuple(sparseWord, sparseWord, sparseWord, word);

test("a MAC address is a signed word and two bytes", () => {
  assert.deepEqual(parseMac("02:00:00:00:0a:01"), { high: 0x02000000, low: 0x0a01 });
  assert.deepEqual(parseMac("FF:fe:00:00:00:ff"), { high: 0xfffe0000 | 0, low: 0x00ff });
  assert.equal(formatMac({ high: 0xfffe0000 | 0, low: 0x00ff }), "ff:fe:00:00:00:ff");
});

test("bad MAC addresses are null", () => {
  const bad = ["", "02:00:00:00:0a", "02:00:00:00:0a:01:02", "2:0:0:0:a:1", "02-00-00-00-0a-01"];
  for (const text of [...bad, "0g:00:00:00:0a:01", "02:00:00:00:0a:01\n"]) {
    assert.equal(parseMac(text), null, text);
  }
});

test("MAC addresses survive text", () => {
  fc.assert(
    fc.property(word, fc.nat({ max: 0xffff }), (high, low) => {
      assert.deepEqual(parseMac(formatMac({ high, low })), { high, low });
    }),
  );
});

test("an IPv4 address is the mapped IPv6 address", () => {
  const address: Address = [0, 0, 0xffff, 0xc0a80102 | 0];
  assert.deepEqual(parseAddress("192.168.1.2"), address);
  assert.deepEqual(parseAddress("::ffff:192.168.1.2"), address);
  assert.deepEqual(parseAddress("::ffff:c0a8:102"), address);
  assert.equal(formatAddress(address), "192.168.1.2");
  assert.equal(isIpv4(address), true);
  assert.equal(isIpv4([0, 0, 0, 1]), false);
});

test("every text form of RFC 4291 §2.2 is read", () => {
  const forms: [text: string, address: Address][] = [
    ["::", [0, 0, 0, 0]],
    ["::1", [0, 0, 0, 1]],
    ["1::", [0x00010000, 0, 0, 0]],
    ["ABCD:EF01:2345:6789:ABCD:EF01:2345:6789", [0xabcdef01, 0x23456789, 0xabcdef01, 0x23456789]],
    ["2001:DB8:0:0:8:800:200C:417A", [0x20010db8, 0, 0x00080800, 0x200c417a]],
    ["2001:DB8::8:800:200C:417A", [0x20010db8, 0, 0x00080800, 0x200c417a]],
    ["FF01::101", [0xff010000, 0, 0, 0x101]],
    ["1:2:3:4:5:6:7::", [0x00010002, 0x00030004, 0x00050006, 0x00070000]],
    ["::2:3:4:5:6:7:8", [2, 0x00030004, 0x00050006, 0x00070008]],
    ["0:0:0:0:0:0:13.1.68.3", [0, 0, 0, 0x0d014403]],
    ["64:ff9b::192.0.2.33", [0x0064ff9b, 0, 0, 0xc0000221]],
  ];
  for (const [text, [a, b, c, d]] of forms) {
    assert.deepEqual(parseAddress(text), [a | 0, b | 0, c | 0, d | 0], text);
  }
});

test("the canonical form is that of RFC 5952", () => {
  const forms: [text: string, canonical: string][] = [
    ["2001:0DB8:0000:0000:0000:0000:0002:0001", "2001:db8::2:1"], // §4.1, §4.2.1, §4.3
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"], // §4.2.2: one group is not shortened
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"], // §4.2.3: the longest run
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"], // §4.2.3: the first of equal runs
    ["0:0:0:0:0:0:0:0", "::"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["fe80:0:0:0:0:0:0:0", "fe80::"],
  ];
  for (const [text, canonical] of forms) {
    assert.equal(formatAddress(parseAddress(text)!), canonical);
  }
});

test("addresses survive text", () => {
  fc.assert(
    fc.property(addresses, (address) => {
      assert.deepEqual(parseAddress(formatAddress(address)), address);
    }),
  );
});

test("bad addresses are null and never an exception", () => {
  const bad = [
    "",
    "1.2.3",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4 ",
    "1.2.3.4\0",
    ":",
    ":::",
    "1::2::3",
  ];
  const badIpv6 = ["12345::", "::g", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "fe80::1%eth0", "[::1]"];
  for (const text of [...bad, ...badIpv6, "::1.2.3", "1.2.3.4::", "10.0.0.1/8"]) {
    assert.equal(parseAddress(text), null, text);
  }
  const noise = fc.string({ unit: fc.constantFrom(..."0123af:./%- "), maxLength: 24 });
  fc.assert(
    fc.property(noise, (text) => {
      parseAddress(text);
      parsePrefix(text);
      parseMac(text);
    }),
  );
});

test("prefix lengths count over 128 bits; host bits are kept", () => {
  assert.deepEqual(parsePrefix("10.0.1.1/24"), {
    address: [0, 0, 0xffff, 0x0a000101],
    length: 120,
  });
  assert.equal(parsePrefix("0.0.0.0/0")?.length, 96);
  assert.equal(parsePrefix("2001:db8::/32")?.length, 32);
  assert.equal(parsePrefix("::/0")?.length, 0);
  assert.equal(parsePrefix("::1/128")?.length, 128);
});

test("a mapped prefix in IPv6 text has its length over 128 bits already", () => {
  assert.deepEqual(parsePrefix("::ffff:10.0.0.0/104"), parsePrefix("10.0.0.0/8"));
  assert.equal(formatPrefix(parsePrefix("::ffff:10.0.0.0/24")!), "::ffff:a00:0/24");
});

test("bad prefixes are null", () => {
  const bad = [
    "10.0.0.0",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/08",
    "10.0.0.0/-1",
    "/8",
    "::/129",
  ];
  for (const text of [...bad, "10.0.0.0/8/8", "10.0.0.0/8 ", "10.0/8", "10.0.0.0/1e1"]) {
    assert.equal(parsePrefix(text), null, text);
  }
});

test("prefixes survive text", () => {
  fc.assert(
    fc.property(addresses, fc.nat({ max: 128 }), (address, length) => {
      const prefix = { address, length };
      assert.deepEqual(parsePrefix(formatPrefix(prefix)), prefix);
    }),
  );
});

test("a network has its host bits cleared, at every length", () => {
  const ones: Address = [-1, -1, -1, -1];
  for (let length = 0; length <= 128; length++) {
    const bits = networkOf(ones, length).map((part) => (part >>> 0).toString(2).padStart(32, "0"));
    assert.equal(bits.join(""), "1".repeat(length).padEnd(128, "0"));
  }
});

test("a prefix contains what shares its network, and nothing else", () => {
  const prefix = parsePrefix("10.0.1.1/24")!;
  assert.equal(prefixContains(prefix, parseAddress("10.0.1.255")!), true);
  assert.equal(prefixContains(prefix, parseAddress("10.0.2.1")!), false);
  assert.equal(prefixContains(prefix, parseAddress("2001:db8::1")!), false);
  assert.equal(prefixContains(parsePrefix("0.0.0.0/0")!, parseAddress("::1")!), false);
  assert.equal(prefixContains(parsePrefix("::/0")!, parseAddress("10.0.0.1")!), true);
});

test("link-local addresses are the ones that Linux makes", () => {
  const linkLocal = (mac: string): string => formatAddress(linkLocalFromMac(parseMac(mac)!));
  assert.equal(linkLocal("02:00:00:00:0a:01"), "fe80::ff:fe00:a01");
  assert.equal(linkLocal("34:56:78:9a:bc:de"), "fe80::3656:78ff:fe9a:bcde"); // RFC 4291 app. A
});
