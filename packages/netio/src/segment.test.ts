import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as packet from "@rhone/rings/packet";
import fc from "fast-check";
import { segmentPlainly, transportChecksum } from "./segment.golden.ts";
import { EXHAUSTED, finishChecksum, MALFORMED, segmentInto } from "./segment.ts";
import {
  checksumAt,
  pseudoHeaderSum,
  type Shape,
  superFrame,
  superPacket,
  withChecksum,
} from "./test-super-frame.ts";
import { frameOf, TestWorker } from "./test-worker.ts";

const worker = new TestWorker();
const { allocator } = worker;
const out = new Int32Array(128);

const shape: fc.Arbitrary<Shape> = fc.record({
  isTcp: fc.boolean(),
  isIpv4: fc.boolean(),
  optionWords: fc.integer({ min: 0, max: 10 }),
  flags: fc.integer({ min: 0, max: 255 }),
  sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
  identification: fc.integer({ min: 0, max: 0xffff }),
  payloadSize: fc.integer({ min: 1, max: 60_000 }),
  segmentSize: fc.integer({ min: 536, max: 1460 }),
  seed: fc.integer({ min: 0, max: 255 }),
});

const plainShape: Shape = {
  isTcp: true,
  isIpv4: true,
  optionWords: 3,
  flags: 0x99,
  sequence: 0xffff_fff0,
  identification: 0xffff,
  payloadSize: 5000,
  segmentSize: 1448,
  seed: 1,
};

describe("segmentInto", () => {
  test("cuts as the plain version does, with valid checksums", () => {
    fc.assert(
      fc.property(shape, (given) => {
        const whole = superFrame(given);
        const count = segmentInto(superPacket(worker, whole), allocator, out);
        const expected = segmentPlainly(whole);
        assert.equal(count, expected.length);
        for (let i = 0; i < count; i++) {
          const slot = out[i]!;
          const bytes = frameOf(slot);
          assert.deepEqual(bytes, expected[i]);
          assert.equal(transportChecksum(bytes, whole), 0);
          assert.equal(packet.identity(slot), 4711);
          assert.equal(packet.l4At(slot) - packet.frameAt(slot), whole.l4);
          const offloads = [packet.gsoType(slot), packet.gsoSize(slot), packet.checksumStart(slot)];
          assert.deepEqual(offloads, [0, 0, 0]);
          allocator.give(slot);
        }
        worker.assertAllHome();
      }),
      { numRuns: 150 },
    );
  });

  test("takes the ECN bit of the type for TCP too", () => {
    const slot = superPacket(worker, superFrame(plainShape));
    packet.setGsoType(slot, 0x81);
    const count = segmentInto(slot, allocator, out);
    assert.equal(count, 4);
    const flags = Array.from(out.subarray(0, count), (segment) => frameOf(segment)[14 + 20 + 13]);
    assert.deepEqual(flags, [0x90, 0x10, 0x10, 0x19]);
    for (let i = 0; i < count; i++) allocator.give(out[i]!);
  });

  test("takes no slot when there are not enough", () => {
    const slot = superPacket(worker, superFrame(plainShape));
    const taken: number[] = [];
    while (allocator.smallFree > 3) taken.push(allocator.takeSmall());
    assert.equal(segmentInto(slot, allocator, out), EXHAUSTED);
    assert.equal(allocator.smallFree, 3);
    for (const other of taken) allocator.give(other);
    allocator.give(slot);
    worker.assertAllHome();
  });

  test("refuses what contradicts itself, and leaves it to the caller", () => {
    const breakings: readonly ((slot: number) => void)[] = [
      (slot) => packet.setGsoType(slot, 3), // whole-datagram UDP
      (slot) => packet.setGsoType(slot, 4), // TCP over IPv6, but it is IPv4
      (slot) => packet.setGsoType(slot, 5), // UDP, but it is TCP
      (slot) => packet.setGsoSize(slot, 0),
      (slot) => packet.setGsoSize(slot, 1), // more segments than there is room for
      (slot) => packet.setGsoSize(slot, 1760), // larger than a small slot
      (slot) => packet.setLength(slot, 3000), // shorter than IP says
      (slot) => packet.setLength(slot, 60),
      (slot) => packet.setL3At(slot, 0),
      (slot) => packet.setL4At(slot, 0),
    ];
    for (const [i, spoil] of breakings.entries()) {
      const slot = superPacket(worker, superFrame(plainShape));
      spoil(slot);
      assert.equal(segmentInto(slot, allocator, out), MALFORMED, `breaking ${i}`);
      allocator.give(slot);
      worker.assertAllHome();
    }
  });
});

describe("finishChecksum", () => {
  test("completes what the kernel left to the device", () => {
    fc.assert(
      fc.property(shape, (given) => {
        const whole = superFrame({ ...given, payloadSize: Math.min(given.payloadSize, 1400) });
        // The pseudo header's sum stands in the field: what all else would have to add up to.
        const slot = worker.packet(withChecksum(whole, pseudoHeaderSum(whole)));
        packet.setChecksumStart(slot, whole.l4);
        packet.setChecksumOffset(slot, checksumAt(whole) - whole.l4);
        finishChecksum(slot);
        assert.equal(transportChecksum(frameOf(slot), whole), 0);
        assert.deepEqual([packet.checksumStart(slot), packet.checksumOffset(slot)], [0, 0]);
        allocator.give(slot);
      }),
      { numRuns: 100 },
    );
  });

  test("leaves a frame alone whose checksum would lie behind its end", () => {
    const slot = worker.packet(new Uint8Array(60));
    packet.setChecksumStart(slot, 50);
    packet.setChecksumOffset(slot, 9);
    finishChecksum(slot);
    assert.deepEqual(frameOf(slot), new Uint8Array(60));
    assert.equal(packet.checksumStart(slot), 0);
    allocator.give(slot);
  });
});
