import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromHex, neverReadsPastEnd, place, toHex } from "../test/bytes.ts";
import { OVN_PING } from "../test/frames.ts";
import * as geneve from "./geneve.ts";
import * as resume from "./resume.ts";

/** Every field has a value of its own, put together by hand from the table in `resume.ts`. */
const HEADER = fromHex(`
  08 40 6558 000006 00
  fff7 81 07
  8 9 3 5 000f 002a 89abcdef fedcba98 0102 a1b2 42 03 1122334455667788
`);

const STAMP: resume.Stamp = {
  vni: 6,
  stage: 8,
  flags: 9,
  handOffsLeft: 3,
  reason: resume.REASON_PLACEMENT,
  ingressPort: 15,
  egressPort: 42,
  identity: 0x89abcdef,
  generation: 0xfedcba98,
  origin: 0x0102,
  flowHash: 0xa1b2,
  connection: 0x42,
  ttlDecrements: 3,
  tagHigh: 0x11223344,
  tagLow: 0x55667788,
};

test("is 32 bytes of option and 40 of header", () => {
  assert.equal(resume.OPTION_SIZE, 32);
  assert.equal(resume.HEADER_SIZE, 40);
  assert.equal(HEADER.length, 40);
});

test("reads and writes the bits in the order of the table", () => {
  const { view, at, end } = place(HEADER);
  assert.deepEqual(resume.decode(view, at, end), STAMP);
  assert.equal(toHex(resume.encode(STAMP)), toHex(HEADER));
});

test("write leaves the tag 0 and the header as other endpoints expect it", () => {
  const { view, at, bytes } = place(new Uint8Array(resume.HEADER_SIZE).fill(0xff));
  resume.write(view, at, 6, 8, 9, 3, 5, 15, 42, -1, -2, 0x0102, 0xa1b2, 0x42, 3);
  assert.equal(toHex(bytes.subarray(0, 12)), "0840655800000600fff78107");
  assert.equal(toHex(bytes.subarray(32)), "0000000000000000");
  const option = at + geneve.BASE_SIZE;
  assert.equal(resume.identity(view, option), 0xffffffff);
  assert.equal(resume.generation(view, option), 0xfffffffe);
  assert.equal(geneve.isValid(view, at, at + resume.HEADER_SIZE), true);
  assert.equal(geneve.hasCriticalOptions(view, at), true);
  const found = geneve.findOption(view, at, resume.OPTION_CLASS, resume.OPTION_TYPE);
  assert.equal(found, option);
});

test("the tag can be set alone", () => {
  const { view, at, bytes } = place(HEADER);
  resume.setTag(view, at + geneve.BASE_SIZE, 0xffffffff, -2);
  assert.equal(resume.tagHigh(view, at + geneve.BASE_SIZE), 0xffffffff);
  assert.equal(resume.tagLow(view, at + geneve.BASE_SIZE), 0xfffffffe);
  assert.equal(toHex(bytes.subarray(0, 32)), toHex(HEADER.subarray(0, 32)));
});

test("encode and decode restore each other for every value of every field", () => {
  const nat = (bits: number): fc.Arbitrary<number> => fc.nat({ max: 2 ** bits - 1 });
  const stamps = fc.record(
    {
      vni: nat(24),
      stage: nat(4),
      flags: nat(4),
      handOffsLeft: nat(4),
      reason: nat(4),
      ingressPort: nat(16),
      egressPort: nat(16),
      identity: nat(32),
      generation: nat(32),
      origin: nat(16),
      flowHash: nat(16),
      connection: nat(8),
      ttlDecrements: nat(8),
      tagHigh: nat(32),
      tagLow: nat(32),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(stamps, (stamp) => {
      const { view, at, end } = place(resume.encode(stamp));
      assert.deepEqual(resume.decode(view, at, end), stamp);
    }),
  );
});

test("finds the stamp behind other options", () => {
  const option = HEADER.subarray(8);
  const bytes = new Uint8Array([
    0x0a,
    0x40,
    ...HEADER.subarray(2, 8),
    1,
    2,
    0x80,
    1,
    0,
    2,
    0,
    3,
    ...option,
  ]);
  const { view, at, end } = place(bytes);
  assert.deepEqual(resume.decode(view, at, end), STAMP);
});

test("refuses every length but 28, and headers without a stamp", () => {
  for (let words = 0; words < 32; words++) {
    const { view, at } = place(HEADER.with(11, words));
    assert.equal(resume.isValid(view, at + geneve.BASE_SIZE), words === 7, `${words} words`);
  }
  const ovn = place(OVN_PING.subarray(42));
  assert.equal(resume.decode(ovn.view, ovn.at, ovn.end), null);
});

test("is nothing when cut off at any byte, and never reads past the end", () => {
  for (let length = 0; length < HEADER.length; length++) {
    const { view, at, end } = place(HEADER.subarray(0, length));
    assert.equal(resume.decode(view, at, end), null, `${length} bytes`);
  }
  neverReadsPastEnd(
    [HEADER],
    () => true,
    (view, at, end) => {
      resume.decode(view, at, end);
    },
  );
});

test("only stages whose state can live elsewhere may be resumed", () => {
  const stages = Array.from({ length: 16 }, (_, stage) => stage);
  assert.deepEqual(stages.filter(resume.mayResume), [1, 2, 4, 5, 7, 8, 9, 10, 11, 13]);
});
