import assert from "node:assert/strict";
import { test } from "node:test";
import { TestWorker } from "@rhone/pipeline-stages/test-network";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { dropExcess } from "./drop-excess.ts";

const NEW = packet.CONNECTION_NEW;
const OLD = packet.CONNECTION_ESTABLISHED;
const REASON = DROP["ring-full"];

/** Which places of a batch of packets, each with its connection bits, are left. */
function leftOf(connections: readonly number[], excess: number): number[] {
  const worker = new TestWorker();
  const free = worker.freeSlots();
  const slots = Int32Array.from(connections, () => worker.receive(new Uint8Array(60), 0));
  const places = new Map(Array.from(slots, (slot, place) => [slot, place]));
  for (const [i, connection] of connections.entries()) packet.setConnection(slots[i]!, connection);
  const kept = dropExcess(worker.core, slots, slots.length, excess, REASON);
  assert.equal(worker.dropped("ring-full"), excess);
  const left = Array.from(slots.subarray(0, kept), (slot) => places.get(slot)!);
  for (const slot of slots.subarray(0, kept)) worker.core.allocator.give(slot);
  assert.equal(worker.freeSlots(), free);
  return left;
}

test("new flows go first, and of those the newest", () => {
  assert.deepEqual(leftOf([OLD, NEW, OLD, NEW, NEW, OLD], 2), [0, 1, 2, 5]);
  assert.deepEqual(leftOf([NEW, NEW, NEW], 1), [0, 1]);
});

test("when they are not enough, the newest of the others follow", () => {
  assert.deepEqual(leftOf([OLD, NEW, OLD, OLD], 2), [0, 2]);
  assert.deepEqual(leftOf([OLD, OLD, OLD], 3), []);
});

test("a SYN is of a new flow before anybody has looked it up", () => {
  const worker = new TestWorker();
  const [syn, data] = [0x02, 0x10].map((flags) => {
    const frame = new Uint8Array(60);
    frame[14 + 20 + 13] = flags;
    const slot = worker.receive(frame, 0);
    packet.setProtocol(slot, 6);
    packet.setL4At(slot, packet.frameAt(slot) + 34);
    return slot;
  }) as [number, number];
  const slots = Int32Array.of(syn, data);
  assert.equal(dropExcess(worker.core, slots, 2, 1, REASON), 1);
  assert.equal(slots[0], data);
  worker.core.allocator.give(data);
});
