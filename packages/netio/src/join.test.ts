import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as resume from "@rhone/wire/resume";
import fc from "fast-check";
import { countJoinable, join } from "./join.ts";
import { type SuperFrame, segmentPlainly } from "./segment.golden.ts";
import { segmentInto } from "./segment.ts";
import { type Shape, superFrame } from "./test-super-frame.ts";
import { findHeaders, frameOf, TestWorker } from "./test-worker.ts";

const { bytes, view } = poolViews();
const worker = new TestWorker();
const { allocator } = worker;
const out = new Int32Array(128);

const ACK = 0x10;
const STAMP: resume.Stamp = {
  ...{ vni: 5, stage: 8, flags: 1, handOffsLeft: 3, reason: 0, ingressPort: 1, egressPort: 2 },
  ...{ identity: 7, generation: 9, origin: 3, flowHash: 0x1234, connection: 2, ttlDecrements: 1 },
  ...{ tagHigh: 0, tagLow: 0 },
};

const plainShape: Shape = {
  ...{ isTcp: true, isIpv4: true, optionWords: 3, flags: ACK, sequence: 0xffff_f000 },
  ...{ identification: 0xfffe, payloadSize: 5000, segmentSize: 1000, seed: 3 },
};

/** Datagrams in a row in a large slot, each behind a stamp with a tag of its own. */
class Row {
  readonly slot = allocator.takeLarge();
  readonly at = packet.defaultFrameAt(this.slot) - resume.HEADER_SIZE;
  readonly size: number;
  readonly end: number;

  constructor(frames: readonly Uint8Array[]) {
    let to = this.at;
    for (const [tagLow, frame] of frames.entries()) {
      const datagram = [...resume.encode({ ...STAMP, tagLow }), ...frame];
      bytes.set(datagram, to);
      to += datagram.length;
    }
    this.size = resume.HEADER_SIZE + frames[0]!.length;
    this.end = to;
  }

  count(): number {
    return countJoinable(this.at, this.size, this.end);
  }

  free(): void {
    allocator.give(this.slot);
    worker.assertAllHome();
  }
}

const rowOf = (shape: Partial<Shape>): Row =>
  new Row(segmentPlainly(superFrame({ ...plainShape, ...shape })));

/** Cuts a joined packet, whose stamp is taken off as its reader does it. */
function cutAgain(slot: number): Uint8Array[] {
  packet.setFrameAt(slot, packet.frameAt(slot) + resume.HEADER_SIZE);
  packet.setLength(slot, packet.length(slot) - resume.HEADER_SIZE);
  findHeaders(slot);
  const count = segmentInto(slot, allocator, out);
  return Array.from(out.subarray(0, count), (segment) => {
    const frame = frameOf(segment);
    allocator.give(segment);
    return frame;
  });
}

const shape: fc.Arbitrary<Shape> = fc.record({
  isTcp: fc.constant(true),
  isIpv4: fc.boolean(),
  optionWords: fc.integer({ min: 0, max: 10 }),
  // ECE, CWR, and what may close a flight of segments: FIN, PSH.
  flags: fc
    .integer({ min: 0, max: 15 })
    .map((n) => ACK | ((n & 3) << 6) | (n & 4 ? 1 : 0) | (n & 8)),
  sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
  identification: fc.integer({ min: 0, max: 0xffff }),
  payloadSize: fc.integer({ min: 600, max: 60_000 }),
  segmentSize: fc.integer({ min: 536, max: 1460 }),
  seed: fc.integer({ min: 0, max: 255 }),
});

describe("joining", () => {
  test("and cutting again gives the same segments", () => {
    fc.assert(
      fc.property(shape, (given) => {
        const whole: SuperFrame = superFrame(given);
        const frames = segmentPlainly(whole);
        if (frames.length === 1 || frames.length > 44) return;
        const row = new Row(frames);
        assert.equal(row.count(), frames.length);
        join(row.slot, row.at, row.size, row.end);
        const { slot } = row;
        assert.equal(packet.gsoSize(slot), given.segmentSize);
        const ecn = (given.flags & 0x80) === 0 ? 0 : 0x80;
        assert.equal(packet.gsoType(slot), (given.isIpv4 ? 1 : 4) | ecn);
        assert.equal(packet.checksumStart(slot), whole.l4);
        assert.equal(packet.checksumOffset(slot), 16);
        assert.equal(packet.length(slot), resume.HEADER_SIZE + whole.frame.length);
        assert.deepEqual(cutAgain(slot), frames);
        worker.assertAllHome();
      }),
      { numRuns: 200 },
    );
  });

  test("stops behind a segment that is short, pushed or the last of its flow", () => {
    const frames = segmentPlainly(superFrame({ ...plainShape, payloadSize: 4000 }));
    const pushed = segmentPlainly(superFrame({ ...plainShape, payloadSize: 2000, flags: 0x18 }));
    const row = new Row([...pushed, ...frames.slice(2)]);
    assert.equal(row.count(), 2);
    row.free();
  });

  test("leaves alone what is no TCP, no segment with data, or has other flags", () => {
    for (const flags of [0x00, 0x12, 0x14, 0x30, 0x11, 0x18]) {
      const frames = segmentPlainly(superFrame({ ...plainShape, payloadSize: 1000, flags }));
      const row = new Row([frames[0]!, frames[0]!]);
      assert.equal(row.count(), 1);
      row.free();
    }
    const udp = rowOf({ isTcp: false });
    assert.equal(udp.count(), 1);
    udp.free();
    const short = new Row([new Uint8Array(20), new Uint8Array(20)]);
    assert.equal(short.count(), 1);
    short.free();
  });

  test("stops in front of a segment that differs in any byte of its headers", () => {
    for (const isIpv4 of [true, false]) {
      const l4 = 14 + (isIpv4 ? 20 : 40);
      const headersSize = resume.HEADER_SIZE + l4 + 32;
      for (let i = 0; i < headersSize; i++) {
        const isTag = i >= resume.HEADER_SIZE - 8 && i < resume.HEADER_SIZE;
        const row = rowOf({ isIpv4 });
        view.setUint8(row.at + 2 * row.size + i, view.getUint8(row.at + 2 * row.size + i) ^ 0x40);
        assert.equal(row.count(), isTag ? 5 : 2, `byte ${i}`);
        row.free();
      }
    }
  });

  test("leaves a damaged payload alone, wherever it is", () => {
    for (const [segment, expected] of [
      [0, 1],
      [1, 1],
      [4, 4],
    ] as const) {
      const row = rowOf({});
      const at = row.at + segment * row.size + 500;
      view.setUint8(at, view.getUint8(at) ^ 1);
      assert.equal(row.count(), expected);
      row.free();
    }
  });

  test("reads nothing behind the row, whatever is in it", () => {
    const row = rowOf({});
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(120), fc.nat(255))), fc.nat(1400), (changes, size) => {
        for (const [at, value] of changes) view.setUint8(row.at + at, value);
        const end = row.at + 3 * Math.max(1, size);
        const count = countJoinable(row.at, Math.max(1, size), end);
        assert.ok(count >= 1 && count <= 3);
      }),
    );
    row.free();
  });
});
