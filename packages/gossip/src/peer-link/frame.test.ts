import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  DATA_SIZE_MAX,
  decodeFrame,
  encodeFrame,
  FRAME_TYPES,
  FrameReader,
  type FrameType,
} from "./frame.ts";

const subject = fc.stringMatching(/^[a-z0-9]{1,8}(\.[a-z0-9*]{1,8}){0,4}$/);
const data = fc.uint8Array({ maxLength: 300 });
const frame = fc.oneof(
  fc.record({ type: fc.constantFrom<FrameType>("publish", "request"), subject, data }),
  fc.record({ type: fc.constantFrom<FrameType>("subscribe", "unsubscribe"), subject, data }),
  fc.record({
    type: fc.constantFrom<FrameType>("answer", "hearing"),
    subject: fc.constant(""),
    data,
  }),
);
const id = fc.nat();

test("frames come out as they went in, however the stream is cut", () => {
  const stream = fc.array(fc.tuple(frame, id), { maxLength: 8 });
  fc.assert(
    fc.property(
      stream,
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      (sent, cuts) => {
        const bytes = Buffer.concat(
          sent.map(([{ type, subject, data }, id]) => encodeFrame(type, subject, data, id)),
        );
        const reader = new FrameReader();
        const received = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = cuts[turn % cuts.length]!;
          received.push(...reader.push(bytes.subarray(at, at + size))!);
          at += size;
        }
        assert.deepEqual(
          received.map(({ data, ...rest }) => ({ ...rest, data: [...data] })),
          sent.map(([{ data, ...rest }, id]) => ({ ...rest, id, data: [...data] })),
        );
      },
    ),
  );
});

test("random bytes are refused or understood, and never more than that", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 10 }), (chunks) => {
      const reader = new FrameReader();
      for (const chunk of chunks) if (reader.push(chunk) === null) return;
    }),
  );
});

test("a frame that is cut or has bytes too many is none", () => {
  const whole = encodeFrame("request", "rhone.req.a.sync", Uint8Array.of(1, 2, 3), 7);
  for (let size = 0; size < whole.length; size++) {
    assert.equal(decodeFrame(whole.subarray(0, size)), null, `${size} bytes`);
  }
  assert.equal(decodeFrame(Buffer.concat([whole, Uint8Array.of(0)])), null);
});

test("a size beyond the limit ends the stream before its bytes are there", () => {
  const tooLarge = encodeFrame("publish", "a", new Uint8Array(DATA_SIZE_MAX));
  assert.equal(new FrameReader().push(tooLarge)?.length, 1);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(DATA_SIZE_MAX * 2);
  assert.equal(new FrameReader().push(head), null);
  assert.equal(new FrameReader().push(Buffer.alloc(4)), null); // Smaller than a frame can be.
});

test("types and subjects that there are not are refused", () => {
  const good = encodeFrame("publish", "rhone.o.a.d");
  const type = Buffer.from(good);
  type[4] = Math.max(...Object.values(FRAME_TYPES)) + 1;
  assert.equal(decodeFrame(type), null);
  for (const subject of ["", "a..b", ".a", "a b", "a\n", "é", "x".repeat(201)]) {
    assert.equal(decodeFrame(encodeFrame("publish", subject)), null, JSON.stringify(subject));
  }
  assert.equal(decodeFrame(encodeFrame("ping", "a")), null);
});
