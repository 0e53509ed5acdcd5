import assert from "node:assert/strict";
import { test } from "node:test";
import { DEVICES_MAX } from "./counters.ts";
import { DeviceFences } from "./device-fences.ts";

test("a device without a fence is never shut", () => {
  const fences = new DeviceFences();
  for (const nowMs of [0, 5, -1, 0x7fffffff]) assert.equal(fences.isShut(3, nowMs), false);
});

test("a fence is open until its time, for its device only", () => {
  const fences = new DeviceFences();
  fences.set(3, 1000.9);
  assert.equal(fences.isShut(3, 999), false);
  assert.equal(fences.isShut(3, 1000), true);
  assert.equal(fences.isShut(3, 5000), true);
  assert.equal(fences.isShut(4, 5000), false);
  fences.set(DEVICES_MAX - 1, 1);
  assert.equal(fences.isShut(DEVICES_MAX - 1, 0), false);
  fences.set(3, Number.NEGATIVE_INFINITY);
  assert.equal(fences.isShut(3, 0), true, "at any time");
  fences.remove(3);
  assert.equal(fences.isShut(3, 5000), false);
});

test("a fence stays shut when the low bits of the clock come round", () => {
  const fences = new DeviceFences();
  fences.set(0, 800);
  for (const nowMs of [2 ** 31 + 900, 2 ** 32 - 100_000]) {
    assert.equal(fences.isShut(0, nowMs | 0), true, `at ${nowMs}`);
  }
  fences.set(0, 2 ** 31 + 100);
  assert.equal(fences.isShut(0, (2 ** 31 - 5) | 0), false, "across the sign");
  assert.equal(fences.isShut(0, (2 ** 31 + 200) | 0), true);
});
