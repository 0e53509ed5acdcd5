import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as packet from "@rhone/rings/packet";
import fc from "fast-check";
import { type SuperFrame, transportChecksum } from "./segment.golden.ts";
import { finishChecksum } from "./segment.ts";
import {
  checksumAt,
  pseudoHeaderSum,
  type Shape,
  superFrame,
  withChecksum,
} from "./test-super-frame.ts";
import { frameOf, TestWorker } from "./test-worker.ts";
import { FINISHED, lookForUnfinished, NO_SUM, UNFINISHED } from "./unfinished-sum.ts";

const worker = new TestWorker();
const { allocator } = worker;
const PAYLOAD_MIN = 4;

const shape: fc.Arbitrary<Shape> = fc.record({
  isTcp: fc.boolean(),
  isIpv4: fc.boolean(),
  optionWords: fc.integer({ min: 0, max: 10 }),
  flags: fc.integer({ min: 0, max: 255 }),
  sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
  identification: fc.integer({ min: 0, max: 0xffff }),
  payloadSize: fc.integer({ min: PAYLOAD_MIN, max: 1400 }),
  segmentSize: fc.constant(1448),
  seed: fc.integer({ min: 0, max: 255 }),
});

/** A frame whose unfinished sum tells: in UDP 0 says that there is none (RFC 768). */
function telling(given: Shape): SuperFrame {
  const whole = superFrame(given);
  fc.pre(given.isTcp || pseudoHeaderSum(whole) !== 0);
  return whole;
}

/** The frame with the checksum that it should have. */
function finished(whole: SuperFrame): Uint8Array {
  const sum = transportChecksum(withChecksum(whole, 0), whole);
  return withChecksum(whole, sum === 0 ? 0xffff : sum);
}

/** What is said of a frame, and the offload words afterwards. */
function look(frame: Uint8Array): { found: number; words: number[]; slot: number } {
  const slot = worker.packet(frame);
  const found = lookForUnfinished(slot);
  return { found, words: [packet.checksumStart(slot), packet.checksumOffset(slot)], slot };
}

describe("an unfinished checksum", () => {
  test("is found, and finishing it gives the one that the frame should have", () => {
    fc.assert(
      fc.property(shape, (given) => {
        const whole = telling(given);
        const { found, words, slot } = look(withChecksum(whole, pseudoHeaderSum(whole)));
        assert.equal(found, UNFINISHED);
        assert.deepEqual(words, [whole.l4, checksumAt(whole) - whole.l4]);
        finishChecksum(slot);
        assert.deepEqual(frameOf(slot), finished(whole));
        allocator.give(slot);
      }),
    );
  });

  test("is not one that is right already, even if it is the same number", () => {
    fc.assert(
      fc.property(shape, (given) => {
        const whole = telling(given);
        const { found, words, slot } = look(finished(whole));
        assert.deepEqual([found, ...words], [FINISHED, 0, 0]);
        allocator.give(slot);
        // The last word of the payload that is aligned makes the sum what the pseudo header's is.
        const view = new DataView(whole.frame.buffer);
        const at = whole.l4 + ((whole.frame.length - whole.l4) & ~1) - 2;
        view.setUint16(at, 0);
        const same = pseudoHeaderSum(whole);
        view.setUint16(at, transportChecksum(withChecksum(whole, same), whole));
        const again = look(withChecksum(whole, same));
        assert.equal(transportChecksum(frameOf(again.slot), whole), 0);
        assert.deepEqual([again.found, ...again.words], [FINISHED, 0, 0]);
        allocator.give(again.slot);
      }),
    );
  });

  test("is nothing that a datagram without a checksum has, a fragment, or another protocol", () => {
    const plain = { optionWords: 0, flags: 0x10, sequence: 1, identification: 1, seed: 1 };
    const udp = superFrame({
      ...{ ...plain, isTcp: false, isIpv4: true, payloadSize: 100, segmentSize: 1448 },
    });
    const fragment = withChecksum(udp, pseudoHeaderSum(udp));
    fragment[udp.l3 + 6] = 0x20; // More fragments.
    const other = withChecksum(udp, pseudoHeaderSum(udp));
    other[udp.l3 + 9] = 47;
    for (const frame of [withChecksum(udp, 0), fragment, other]) {
      const { found, words, slot } = look(frame);
      assert.deepEqual([found, ...words], [NO_SUM, 0, 0]);
      allocator.give(slot);
    }
  });

  test("is looked for within the frame, wherever that is cut off", () => {
    fc.assert(
      fc.property(shape, fc.nat(120), (given, length) => {
        const whole = superFrame(given);
        const frame = withChecksum(whole, pseudoHeaderSum(whole));
        const cut = frame.slice(0, Math.min(length, frame.length - 1));
        const { found, slot } = look(cut);
        assert.equal(found, NO_SUM);
        allocator.give(slot);
      }),
    );
    worker.assertAllHome();
  });
});
