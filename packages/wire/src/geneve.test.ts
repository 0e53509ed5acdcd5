import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromHex, neverReadsPastEnd, place, shortestValid, toHex } from "../test/bytes.ts";
import { OVN_PING } from "../test/frames.ts";
import * as geneve from "./geneve.ts";

const ovn = OVN_PING.subarray(42);
const OVN_CLASS = 0x0102;
const OVN_TYPE = 0x80;

/** A base header over these options, whether they add up or not. */
function withOptions(optionWords: number, optionsHex: string): Uint8Array {
  return new Uint8Array([optionWords, 0x40, ...fromHex(`6558 00000500 ${optionsHex}`)]);
}

function find(header: Uint8Array, optionClass: number, type: number): number {
  const { view, at, end } = place(header);
  assert.equal(geneve.isValid(view, at, end), true);
  const option = geneve.findOption(view, at, optionClass, type);
  return option > 0 ? option - at : option;
}

test("reads the header that Open vSwitch sent", () => {
  const { view, at } = place(ovn);
  assert.equal(geneve.version(view, at), 0);
  assert.equal(geneve.headerSize(view, at), 16);
  assert.equal(geneve.isControl(view, at), false);
  assert.equal(geneve.hasCriticalOptions(view, at), true);
  assert.equal(geneve.protocol(view, at), geneve.PROTOCOL_ETHERNET);
  assert.equal(geneve.vni(view, at), 1);
  const option = at + geneve.BASE_SIZE;
  assert.equal(geneve.optionClass(view, option), OVN_CLASS);
  assert.equal(geneve.optionType(view, option), OVN_TYPE);
  assert.equal(geneve.optionSize(view, option), 8);
});

test("writes the same bytes", () => {
  const { view, at, bytes } = place(new Uint8Array(16).fill(0xff));
  geneve.write(view, at, 8, true, 1, geneve.PROTOCOL_ETHERNET);
  geneve.writeOptionHeader(view, at + 8, OVN_CLASS, OVN_TYPE, 4);
  view.setInt32(at + 12, 0x00020003);
  assert.equal(toHex(bytes), toHex(ovn.subarray(0, 16)));
});

test("finds the first option of a class and type among others", () => {
  const header = withOptions(6, "0102 00 00  0101 80 01 aaaaaaaa  0102 80 00  0102 80 01 bbbbbbbb");
  assert.equal(find(header, OVN_CLASS, OVN_TYPE), 8 + 4 + 8);
  assert.equal(find(header, 0x0101, 0x80), 8 + 4);
  assert.equal(find(header, 0x0101, 0x00), 0);
  assert.equal(find(fromHex("00006558 00000500"), OVN_CLASS, OVN_TYPE), 0);
});

test("says -1 when the options do not add up, even behind the wanted one", () => {
  assert.equal(find(withOptions(1, "0102 80 01"), OVN_CLASS, OVN_TYPE), -1);
  const overrun = withOptions(3, "0102 80 01 00020003 0101 00 01");
  assert.equal(find(overrun, OVN_CLASS, OVN_TYPE), -1);
  assert.equal(find(withOptions(2, "0102 80 1f 00020003"), OVN_CLASS, OVN_TYPE), -1);
});

test("ignores the reserved bits of an option's length", () => {
  assert.equal(find(withOptions(2, "0102 80 e1 00020003"), OVN_CLASS, OVN_TYPE), 8);
});

test("sees a critical option that is not the known one", () => {
  const unknown = (optionWords: number, optionsHex: string): boolean => {
    const { view, at } = place(withOptions(optionWords, optionsHex));
    return geneve.hasUnknownCritical(view, at, OVN_CLASS, OVN_TYPE);
  };
  assert.equal(unknown(2, "0102 80 01 00020003"), false);
  assert.equal(unknown(3, "0102 80 01 00020003 0101 7f 00"), false);
  assert.equal(unknown(3, "0102 80 01 00020003 0101 80 00"), true);
  assert.equal(unknown(3, "0102 80 01 00020003 0102 81 00"), true);
});

test("refuses versions that it does not know", () => {
  for (const version of [1, 2, 3]) {
    const { view, at, end } = place(ovn.with(0, (version << 6) | 2));
    assert.equal(geneve.isValid(view, at, end), false, `version ${version}`);
    assert.equal(geneve.version(view, at), version);
  }
});

test("needs base header and options, 8 to 260 bytes", () => {
  assert.equal(shortestValid(ovn, geneve.isValid), 16);
  assert.equal(shortestValid(new Uint8Array(300).fill(0, 0).with(0, 63), geneve.isValid), 260);
  assert.equal(shortestValid(new Uint8Array(20), geneve.isValid), 8);
});

test("reads no byte past the end", () => {
  const many = withOptions(6, "0102 00 00  0101 80 01 aaaaaaaa  0102 80 00  0102 80 01 bbbbbbbb");
  neverReadsPastEnd([ovn, many], geneve.isValid, (view, at, end) => {
    const option = geneve.findOption(view, at, OVN_CLASS, OVN_TYPE);
    if (option > 0) assert.ok(option + geneve.optionSize(view, option) <= end);
    geneve.hasUnknownCritical(view, at, OVN_CLASS, OVN_TYPE);
    geneve.decode(view, at, end);
    geneve.vni(view, at);
  });
});

const optionData = fc.nat({ max: 10 }).chain((words) => {
  return fc.uint8Array({ minLength: words * 4, maxLength: words * 4 });
});
const options = fc.record(
  { optionClass: fc.nat({ max: 0xffff }), type: fc.nat({ max: 0xff }), data: optionData },
  { noNullPrototype: true },
);
const headers = fc.record(
  {
    isControl: fc.boolean(),
    hasCriticalOptions: fc.boolean(),
    protocol: fc.nat({ max: 0xffff }),
    vni: fc.nat({ max: 0xffffff }),
    options: fc.array(options, { maxLength: 5 }),
  },
  { noNullPrototype: true },
);

test("decode restores what encode was given, and encode what decode was given", () => {
  fc.assert(
    fc.property(headers, (header) => {
      const encoded = geneve.encode(header);
      const { view, at, end } = place(encoded);
      const decoded = geneve.decode(view, at, end)!;
      assert.deepEqual(decoded, header);
      assert.equal(toHex(geneve.encode(decoded)), toHex(encoded));
    }),
  );
});

test("decode gives null for a cut header and for options that do not add up", () => {
  for (const bytes of [ovn.subarray(0, 15), withOptions(1, "0102 80 01")]) {
    const { view, at, end } = place(bytes);
    assert.equal(geneve.decode(view, at, end), null);
  }
});

test("encode names the field that does not fit", () => {
  const header = { isControl: false, hasCriticalOptions: false, protocol: 0x6558, vni: 1 };
  const option = (size: number): geneve.Option => {
    return { optionClass: 1, type: 1, data: new Uint8Array(size) };
  };
  const options: geneve.Option[] = [];
  assert.throws(() => geneve.encode({ ...header, options, vni: 2 ** 24 }), /vni: .* got 16777216/);
  assert.throws(() => geneve.encode({ ...header, options: [option(128)] }), /data: .* got 128/);
  assert.throws(() => geneve.encode({ ...header, options: [option(6)] }), /multiple of 4, got 6/);
  const tooMany = [option(124), option(124)];
  assert.throws(() => geneve.encode({ ...header, options: tooMany }), /all options: .* got 256/);
});
