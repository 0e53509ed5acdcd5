import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromHex, place } from "../test/bytes.ts";
import { LINUX_UDP4, LINUX_UDP6 } from "../test/frames.ts";
import { checksumGolden } from "./checksum.golden.ts";
import * as checksum from "./checksum.ts";

function checksumOf(bytes: Uint8Array, initial = 0): number {
  const { view, at, end } = place(bytes);
  return checksum.fold(checksum.sum(view, at, end, initial));
}

test("sums the example of RFC 1071 §3", () => {
  assert.equal(checksumOf(fromHex("0001 f203 f4f5 f6f7")), 0xffff - 0xddf2);
});

test("agrees with the plain version for every length, odd ones too", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 0x1ffff }), (bytes, initial) => {
      assert.equal(checksumOf(bytes, initial), checksumGolden(bytes, initial));
    }),
  );
});

test("does not overflow over 64 KiB of ones", () => {
  for (const length of [65535, 65536]) {
    const bytes = new Uint8Array(length).fill(0xff);
    const { view, at, end } = place(bytes);
    assert.ok(checksum.sum(view, at, end, 0x1ffff) <= 0x1ffff, "a partial sum has 17 bits");
    assert.equal(checksumOf(bytes, 0x1ffff), checksumGolden(bytes, 0x1ffff));
  }
});

test("can be taken in parts that are cut at even lengths", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 50 }), (bytes, words) => {
      const { view, at, end } = place(bytes);
      const middle = Math.min(at + words * 2, end);
      const parts = checksum.sum(view, middle, end, checksum.sum(view, at, middle, 0));
      assert.equal(checksum.fold(parts), checksumGolden(bytes, 0));
    }),
  );
});

test("pseudo headers verify what Linux sent", () => {
  const four = place(LINUX_UDP4.subarray(14));
  const pseudo4 = checksum.pseudoHeader4(four.view, four.at, 17, 11);
  assert.equal(checksum.fold(checksum.sum(four.view, four.at + 20, four.end, pseudo4)), 0);
  const six = place(LINUX_UDP6.subarray(14));
  const pseudo6 = checksum.pseudoHeader6(six.view, six.at, 17, 13);
  assert.equal(checksum.fold(checksum.sum(six.view, six.at + 40, six.end, pseudo6)), 0);
});

test("updates as in the example of RFC 1624 §4, where equation 2 went wrong", () => {
  assert.equal(checksum.update16(0xdd2f, 0x5555, 0x3285), 0x0000);
});

test("an update gives what a new sum gives", () => {
  const words = fc.array(fc.nat({ max: 0xffff }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(words, fc.nat(), fc.nat({ max: 0xffff }), (data, pick, newWord) => {
      // All-zero data has two representations; an IP packet never is.
      const before = [0x4500, ...data];
      const index = 1 + (pick % data.length);
      const after = before.with(index, newWord);
      const old = checksumOf(bytesOf(before));
      const updated = checksum.update16(old, before[index]!, newWord);
      assert.equal(updated, checksumOf(bytesOf(after)));
    }),
  );
});

function bytesOf(words: readonly number[]): Uint8Array {
  return Uint8Array.from(words.flatMap((word) => [word >>> 8, word & 0xff]));
}
