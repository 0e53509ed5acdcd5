import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, neverReadsPastEnd, place, shortestValid, toHex } from "../test/bytes.ts";
import * as vlan from "./vlan.ts";

/** Priority 5, DEI set, VLAN 7, IPv4 behind it. */
const TAG = fromHex("b007 0800");

test("reads priority and identifier, with DEI in between", () => {
  const { view, at } = place(TAG);
  assert.equal(vlan.priority(view, at), 5);
  assert.equal(vlan.identifier(view, at), 7);
  assert.equal(vlan.etherType(view, at), 0x0800);
});

test("writes a tag with DEI clear", () => {
  const { view, at, bytes } = place(new Uint8Array(vlan.SIZE).fill(0xff));
  vlan.write(view, at, 4095, 7, 0x86dd);
  assert.equal(toHex(bytes), "efff86dd");
});

test("needs 4 bytes and reads no more", () => {
  assert.equal(shortestValid(TAG, vlan.isValid), 4);
  neverReadsPastEnd([TAG], vlan.isValid, (view, at) => {
    vlan.write(view, at, vlan.identifier(view, at), vlan.priority(view, at), 0);
    vlan.etherType(view, at);
  });
});
