import assert from "node:assert/strict";
import { test } from "node:test";
import * as packet from "@rhone/rings/packet";
import { RingConsumer, RingProducer, ringWords } from "@rhone/rings/ring";
import { HeldPackets } from "./held-packets.ts";
import { RING_CAPACITY } from "./plan.ts";

function held(...packets: readonly (readonly [stage: number, flags: number])[]): HeldPackets {
  const words = new Int32Array(new SharedArrayBuffer(ringWords(RING_CAPACITY) * 4));
  const slots = Int32Array.from(packets, (_, slot) => slot);
  for (const [slot, [stage, flags]] of packets.entries()) {
    packet.begin(slot, packet.defaultFrameAt(slot), 60, 0);
    packet.setStage(slot, stage);
    packet.setFlags(slot, flags);
  }
  new RingProducer(words).push(slots, 0, slots.length);
  return new HeldPackets(new RingConsumer(words));
}

function takeAll(packets: HeldPackets, room: number): number[][] {
  const slots = new Int32Array(room);
  const batches: number[][] = [];
  packets.take();
  for (let count = packets.next(slots); count > 0; count = packets.next(slots)) {
    batches.push([...slots.subarray(0, count)]);
    // Slots that are done with are used for something else.
    for (const slot of slots.subarray(0, count)) packet.setStage(slot, 15);
  }
  return batches;
}

test("what is furthest on goes first, and those equally far in their order", () => {
  const packets = held(
    [1, 0],
    [15, 0],
    [8, 0],
    [1, packet.FLAG_FRAGMENT_RESOLVED],
    [1, 0],
    [15, 0],
  );
  assert.deepEqual(takeAll(packets, 8), [[1, 5], [2], [3], [0, 4]]);
});

test("more than there is room for come in several goes, each once", () => {
  const packets = held(...Array.from({ length: 10 }, () => [1, 0] as const), [8, 0]);
  assert.deepEqual(takeAll(packets, 4), [[10], [0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]);
});

test("nothing is nothing", () => {
  assert.deepEqual(takeAll(held(), 4), []);
});
