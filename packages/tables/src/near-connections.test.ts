import assert from "node:assert/strict";
import { test } from "node:test";
import { createConnections, installConnections } from "./connection-memory.ts";

const FLOWS = 20_000;
installConnections(createConnections(65_536));
const connections = await import("./connections.ts");
const near = await import("./near-connections.ts");

const [VNI, PORT, UDP] = [7, 3, 17];

function hashOf(flow: number): number {
  return Math.imul(flow + 1, 0x9e3779b1);
}

function load(flow: number): void {
  connections.loadIpv4(VNI, PORT, UDP, 0x0a000001, flow, 1000, 9);
}

function guess(flow: number): number {
  return near.entryAt(near.placeOf(hashOf(flow), (VNI << 8) | UDP, (PORT << 8) | 4));
}

test("guesses nearly every entry, and nothing where there is none", () => {
  assert.equal(near.areMany(hashOf(0)), false);
  const nothing = guess(0);
  for (let flow = 0; flow < FLOWS; flow++) {
    load(flow);
    const entry = connections.insert(hashOf(flow), 0);
    for (let word = 0; word < 8; word++) connections.setDecision(entry, word, flow * 8 + word);
  }
  assert.equal(near.areMany(hashOf(0)), true);
  let right = 0;
  for (let flow = 0; flow < FLOWS; flow++) {
    const entry = guess(flow);
    assert.notEqual(entry, nothing, "the place of a flow in the index is never empty");
    if (near.decisionAt(entry, 5) === flow * 8 + 5) right++;
  }
  // The others share their place with one that came before them.
  assert.ok(right > FLOWS * 0.85, `${right} of ${FLOWS}`);
});

test("reads any words that it is told to", () => {
  const places = Int32Array.from([0, 1, guess(1), guess(2)]);
  assert.doesNotThrow(() => near.fetch(places, places.length));
});
