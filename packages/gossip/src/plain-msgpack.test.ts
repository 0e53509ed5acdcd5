import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Packr } from "msgpackr/pack";
import { isPlain } from "./plain-msgpack.ts";

const packr = new Packr({ useRecords: false, variableMapSize: true });

test("takes every JSON value, and refuses it when a byte is missing or added", () => {
  const value = fc.jsonValue({ maxDepth: 5 });
  fc.assert(
    fc.property(value, (json) => {
      const bytes = new Uint8Array(packr.pack(json));
      assert.equal(isPlain(bytes), true);
      for (let size = 0; size < bytes.length; size++) {
        assert.equal(isPlain(bytes.subarray(0, size)), false, `${size} of ${bytes.length} bytes`);
      }
      assert.equal(isPlain(new Uint8Array([...bytes, 0xc0])), false);
    }),
  );
});

test("takes every width of strings, arrays and maps", () => {
  const text = "x".repeat(70_000);
  const list = Array.from({ length: 70_000 }, (_, i) => i);
  const map = Object.fromEntries(list.map((i) => [`k${i}`, null]));
  const values = [text, text.slice(0, 300), text.slice(0, 40), list, list.slice(0, 300), map];
  for (const value of [...values, { a: -1, b: -200, c: -40_000, d: 1.5, e: 70_000 }]) {
    assert.equal(isPlain(packr.pack(value)), true);
  }
});

test("refuses what is no JSON", () => {
  const cases: [string, number[]][] = [
    ["a record definition", [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01]],
    ["a date", [...new Packr().pack(new Date(0))]],
    ["a regular expression", [...new Packr({ moreTypes: true }).pack(/x/)]],
    ["binary", [0xc4, 0x01, 0x00]],
    ["a 64-bit integer", [0xcf, 0, 0, 0, 0, 0, 0, 0, 1]],
    ["an unused token", [0xc1]],
    ["a map key that is no string", [0x81, 0x01, 0x01]],
    ["an array of 2³² − 1 values in five bytes", [0xdd, 0xff, 0xff, 0xff, 0xff]],
  ];
  for (const [what, bytes] of cases) assert.equal(isPlain(new Uint8Array(bytes)), false, what);
});

test("refuses nesting that would exhaust the stack", () => {
  assert.equal(isPlain(new Uint8Array(1_000_000).fill(0x91)), false);
  assert.equal(isPlain(new Uint8Array([...new Array(16).fill(0x91), 0xc0])), true);
  assert.equal(isPlain(new Uint8Array([...new Array(17).fill(0x91), 0xc0])), false);
});
