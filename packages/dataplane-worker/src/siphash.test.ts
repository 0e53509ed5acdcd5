import assert from "node:assert/strict";
import { test } from "node:test";
import { poolViews } from "@rhone/rings/pool";
import fc from "fast-check";
import { sipHash } from "./siphash.golden.ts";
import { check, TAG_OFFSET, write } from "./siphash.ts";

const { bytes, view } = poolViews();
const AT = 6000;

function hex(hash: bigint): string {
  const text = new Uint8Array(8);
  new DataView(text.buffer).setBigUint64(0, hash, true);
  return Buffer.from(text).toString("hex");
}

test("the plain version gives the vectors of the reference implementation", () => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i);
  const vectors: readonly [number, string][] = [
    [0, "310e0edd47db6f72"],
    [1, "fd67dc93c539f874"],
    [2, "5a4fa9d909806c0d"],
    [3, "2d7efbd796666785"],
    [15, "e545be4961ca29a1"], // The one of the paper's appendix A.
  ];
  for (const [size, expected] of vectors) {
    assert.equal(hex(sipHash(key, key.subarray(0, size))), expected, `${size} bytes`);
  }
});

const keys = fc.uint8Array({ minLength: 16, maxLength: 16 });
const messages = fc.uint8Array({ minLength: 40, maxLength: 200 });

test("the fast version agrees with it for every size, and finds every changed bit", () => {
  fc.assert(
    fc.property(keys, messages, fc.nat(), (key, message, flip) => {
      const words = new Int32Array(key.slice().buffer);
      const [k0, k1, k2, k3] = words as unknown as [number, number, number, number];
      bytes.fill(0xee, AT, AT + 256);
      bytes.set(message, AT);
      write(AT, message.length, k0, k1, k2, k3);
      const plain = message.slice();
      plain.fill(0, TAG_OFFSET, TAG_OFFSET + 8);
      assert.equal(view.getBigUint64(AT + TAG_OFFSET, true), sipHash(key, plain));
      assert.equal(check(AT, message.length, k0, k1, k2, k3), 1);
      assert.equal(bytes[AT + message.length], 0xee, "nothing behind it is written");
      const bit = flip % (message.length * 8);
      bytes[AT + (bit >>> 3)]! ^= 1 << (bit & 7);
      assert.equal(check(AT, message.length, k0, k1, k2, k3), 0);
      bytes[AT + (bit >>> 3)]! ^= 1 << (bit & 7);
      assert.equal(check(AT, message.length, k0 ^ 1, k1, k2, k3), 0);
      assert.equal(check(AT, message.length - 1, k0, k1, k2, k3), 0);
    }),
    { numRuns: 500 },
  );
});
