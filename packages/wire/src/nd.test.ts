import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, neverReadsPastEnd, place, shortestValid, toHex } from "../test/bytes.ts";
import {
  LINUX_ADVERTISEMENT,
  LINUX_BARE_ADVERTISEMENT,
  LINUX_DAD,
  LINUX_ROUTER_SOLICITATION,
  LINUX_SOLICITATION,
} from "../test/frames.ts";
import * as nd from "./nd.ts";

const solicitation = LINUX_SOLICITATION.subarray(54);
const routerSolicitation = LINUX_ROUTER_SOLICITATION.subarray(54);
/** RFC 4861 §4.2: hop limit 64, lifetime 1800 s; MTU 1418, source 02:00:00:00:0a:01. */
const routerAdvertisement = fromHex(
  "86000000 40000708 00000000 00000000 0501 0000 0000058a 0101 020000000a01",
);
/** RFC 4861 §4.5: for fd00:a::9 use fe80::1; target 02:00:00:00:0b:02. */
const redirect = fromHex(`89000000 00000000 fe800000000000000000000000000001
  fd00000a000000000000000000000009 0201 020000000b02`);

/** Offset of the option from the message's start; 0 and -1 as they are. */
function find(message: Uint8Array, type: number): number {
  const { view, at, end } = place(message);
  assert.equal(nd.isValid(view, at, end), true);
  const option = nd.findOption(view, at, end, type);
  return option > 0 ? option - at : option;
}

test("finds the options behind the fixed part of each of the five messages", () => {
  const { OPTION_SOURCE_LINK_LAYER: source, OPTION_TARGET_LINK_LAYER: target } = nd;
  assert.equal(find(routerSolicitation, source), 8);
  assert.equal(find(routerAdvertisement, source), 24);
  assert.equal(find(solicitation, source), 24);
  assert.equal(find(LINUX_ADVERTISEMENT.subarray(54), target), 24);
  assert.equal(find(redirect, target), 40);
});

test("says 0 where the option is not", () => {
  assert.equal(find(LINUX_DAD.subarray(54), nd.OPTION_SOURCE_LINK_LAYER), 0);
  assert.equal(find(LINUX_BARE_ADVERTISEMENT.subarray(54), nd.OPTION_TARGET_LINK_LAYER), 0);
  assert.equal(find(solicitation, nd.OPTION_TARGET_LINK_LAYER), 0);
});

test("takes the first of two options of one type, as hosts do", () => {
  assert.equal(find(new Uint8Array([...solicitation, ...solicitation.subarray(24)]), 1), 24);
});

test("says -1 for an option of length 0 or past the end, even behind the wanted one", () => {
  const broken = ["0100020000000a01", "0102020000000a01", "01"];
  for (const hex of broken) {
    const option = fromHex(hex);
    const alone = new Uint8Array([...solicitation.subarray(0, 24), ...option]);
    const behind = new Uint8Array([...solicitation, ...option]);
    assert.equal(find(alone, nd.OPTION_SOURCE_LINK_LAYER), -1, hex);
    assert.equal(find(behind, nd.OPTION_SOURCE_LINK_LAYER), -1, hex);
  }
});

test("reads target and link-layer address", () => {
  const { view, at } = place(solicitation);
  const target = [0, 1, 2, 3].map((word) => nd.targetWord(view, at, word));
  assert.deepEqual(target, [0xfd000009 | 0, 0, 0, 2]);
  assert.equal(nd.optionMacHigh(view, at + 24), 0x02000000);
  assert.equal(nd.optionMacLow(view, at + 24), 0x0a01);
});

test("writes the advertisement that Linux wrote, and the router flag on top", () => {
  const { view, at, bytes } = place(LINUX_ADVERTISEMENT.subarray(14));
  bytes.fill(0xff, 0, 8); // all but the addresses
  bytes.fill(0xff, 40);
  nd.writeAdvertisement(view, at, 0x02000000, 0x0b02, false);
  assert.equal(toHex(bytes), toHex(LINUX_ADVERTISEMENT.subarray(14)));
  nd.writeAdvertisement(view, at, 0x02000000, 0x0b02, true);
  assert.equal(bytes[44], 0xe0);
});

test("needs the fixed part of each message", () => {
  assert.equal(shortestValid(routerSolicitation, nd.isValid), 8);
  assert.equal(shortestValid(routerAdvertisement, nd.isValid), 16);
  assert.equal(shortestValid(solicitation, nd.isValid), 24);
  assert.equal(shortestValid(redirect, nd.isValid), 40);
});

test("refuses what is not neighbour discovery", () => {
  for (const type of [128, 132, 138]) {
    const { view, at, end } = place(redirect.with(0, type));
    assert.equal(nd.isValid(view, at, end), false, `type ${type}`);
  }
});

test("reads no byte past the end", () => {
  const samples = [routerSolicitation, routerAdvertisement, solicitation, redirect];
  neverReadsPastEnd(samples, nd.isValid, (view, at, end) => {
    for (const type of [nd.OPTION_SOURCE_LINK_LAYER, nd.OPTION_TARGET_LINK_LAYER]) {
      const option = nd.findOption(view, at, end, type);
      if (option > 0) nd.optionMacHigh(view, option) + nd.optionMacLow(view, option);
    }
  });
});
