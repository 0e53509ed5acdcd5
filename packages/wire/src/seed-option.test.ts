import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, neverReadsPastEnd, place, toHex } from "../test/bytes.ts";
import * as geneve from "./geneve.ts";
import * as seedOption from "./seed-option.ts";

const CT_NEW = 1;

/** The document's OVN example: VM1 in "web" to VM4 in "db", resumed at stage 8. */
const OVN_EXAMPLE = fromHex(`
  0a 00 6558 000000 00
  0101 00 01 00000006
  0101 01 01 0000000f
  0101 02 01 0000002a
  0101 03 01 00000008
  0101 04 01 0005 0001
`);

/** Its Cilium example: frontend to backend, cluster VNI 5000, identity 1000. */
const CILIUM_EXAMPLE = fromHex("02 00 6558 001388 00  0104 01 01 000003e8");

function decode(bytes: Uint8Array): seedOption.SeedContext | null {
  const { view, at, end } = place(bytes);
  return seedOption.decode(view, at, end);
}

test("reads the document's OVN example", () => {
  assert.deepEqual(decode(OVN_EXAMPLE), {
    datapath: 6,
    inputPort: 15,
    outputPort: 42,
    stage: 8,
    conntrack: { zone: 5, state: CT_NEW },
    identity: null,
  });
});

test("reads the document's Cilium example", () => {
  const { view, at } = place(CILIUM_EXAMPLE);
  assert.equal(geneve.vni(view, at), 5000);
  const nothing = { datapath: null, inputPort: null, outputPort: null, stage: null };
  assert.deepEqual(decode(CILIUM_EXAMPLE), { ...nothing, conntrack: null, identity: 1000 });
});

test("both examples are well-formed Geneve that our own encoder writes too", () => {
  for (const example of [OVN_EXAMPLE, CILIUM_EXAMPLE]) {
    const { view, at, end } = place(example);
    const header = geneve.decode(view, at, end);
    assert.equal(toHex(geneve.encode(header!)), toHex(example));
  }
});

test("reads 32 bits without a sign, and zero as a value", () => {
  const bytes = OVN_EXAMPLE.slice();
  bytes.fill(0xff, 12, 16);
  bytes.fill(0x00, 20, 24);
  const context = decode(bytes);
  assert.equal(context?.datapath, 0xffffffff);
  assert.equal(context?.inputPort, 0);
});

test("says null without these options, for another length and for options that overrun", () => {
  assert.equal(decode(fromHex("02406558 00000100 01028001 00020003")), null);
  assert.equal(decode(fromHex("03006558 00000100 01010002 00000006 00000000")), null);
  assert.equal(decode(OVN_EXAMPLE.with(43, 2)), null);
  for (let length = 0; length < OVN_EXAMPLE.length; length++) {
    assert.equal(decode(OVN_EXAMPLE.subarray(0, length)), null, `${length} bytes`);
  }
});

test("never reads past the end", () => {
  neverReadsPastEnd(
    [OVN_EXAMPLE, CILIUM_EXAMPLE],
    () => true,
    (view, at, end) => {
      seedOption.decode(view, at, end);
    },
  );
});
