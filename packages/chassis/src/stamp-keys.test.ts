import assert from "node:assert/strict";
import { test } from "node:test";
import { EPOCH_MS, epochAt, StampKeys } from "./stamp-keys.ts";

const keys = new StampKeys(new Uint8Array(32).fill(7));
const A = "192.168.100.1";
const B = "192.168.100.2";

test("what one end sends with, the other receives with, an hour apart too", () => {
  for (const skew of [-1, 0, 1]) {
    const { send } = keys.between(A, B, 100);
    assert.ok(keys.between(B, A, 100 + skew).receive.some((key) => `${key}` === `${send}`));
  }
  const { send } = keys.between(A, B, 100);
  assert.ok(!keys.between(B, A, 102).receive.some((key) => `${key}` === `${send}`));
});

test("every direction, pair, hour and cluster has keys of its own", () => {
  const others = new StampKeys(new Uint8Array(32).fill(8));
  const all = [
    keys.between(A, B, 1).send,
    keys.between(B, A, 1).send,
    keys.between(A, "192.168.100.3", 1).send,
    keys.between(A, B, 2).send,
    others.between(A, B, 1).send,
  ];
  assert.equal(new Set(all.map(String)).size, all.length);
  const again = new StampKeys(new Uint8Array(32).fill(7)).between(A, B, 1).send;
  assert.deepEqual(again, all[0]);
});

test("an epoch is an hour, and a short key is refused", () => {
  assert.equal(epochAt(EPOCH_MS * 5 + 1), 5);
  assert.throws(() => new StampKeys(new Uint8Array(16)), /expected a key of 32 bytes, got 16/);
});
