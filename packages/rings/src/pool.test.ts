import assert from "node:assert/strict";
import { test } from "node:test";
import * as packet from "./packet.ts";
import {
  createPool,
  FRAME_OFFSET,
  installPool,
  METADATA_SIZE,
  poolViews,
  SLOT_SIZE,
} from "./pool.ts";

test("refuses sizes that make no pool", () => {
  assert.throws(() => createPool({ smallCount: 0, largeCount: 0 }), /expected a pool/);
  assert.throws(() => createPool({ smallCount: 2 ** 20, largeCount: 0 }), /expected a pool/);
});

test("a thread has one pool", () => {
  const present = poolViews();
  assert.equal(installPool(present), present);
  assert.throws(
    () => installPool(createPool({ smallCount: 8, largeCount: 0 })),
    /one packet pool per thread/,
  );
});

test("metadata words do not reach into the headroom, and begin resets them", () => {
  const { bytes } = poolViews();
  const slot = 3;
  bytes.fill(0xaa, slot * SLOT_SIZE, (slot + 1) * SLOT_SIZE);
  packet.begin(slot, packet.defaultFrameAt(slot), 60, 7);
  packet.setHeaderLength(slot, 54);
  assert.equal(packet.frameAt(slot), slot * SLOT_SIZE + FRAME_OFFSET);
  assert.equal(packet.length(slot), 60);
  assert.equal(packet.device(slot), 7);
  assert.equal(packet.inPort(slot), packet.NO_PORT);
  assert.equal(packet.handOffsLeft(slot), packet.HAND_OFFS_MAX);
  assert.equal(packet.gsoType(slot), 0);
  assert.equal(bytes[slot * SLOT_SIZE + METADATA_SIZE], 0xaa);
});

test("copies every word but where the frame starts", () => {
  packet.begin(1, 5000, 60, 2);
  packet.setIdentity(1, 0x80000001 | 0);
  packet.setHeaderLength(1, 66);
  packet.begin(2, 7000, 1, 1);
  packet.copyMetadata(1, 2);
  assert.equal(packet.frameAt(2), 7000);
  assert.equal(packet.length(2), 60);
  assert.equal(packet.identity(2), 0x80000001);
  assert.equal(packet.headerLength(2), 66);
});
