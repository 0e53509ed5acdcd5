import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type FaultyOptions, FaultyPort } from "./faulty.ts";
import { createLoopback } from "./loopback.ts";
import { TestWorker, testFrame } from "./test-worker.ts";

const worker = new TestWorker();

interface Passage {
  readonly received: readonly Uint8Array[];
  readonly counts: FaultyPort["counts"];
}

/** Sends frames through a faulty port, and receives at one, until nothing is under way. */
function pass(count: number, options: FaultyOptions): Passage {
  const [left, right] = createLoopback(worker.context(0), worker.context(1));
  const port = new FaultyPort(right, worker.allocator, options);
  const received: Uint8Array[] = [];
  const drain = (): number => {
    // Frames for the left end come by way of `transmit`, for the right end by way of `receive`.
    const frames = [...worker.receive(port, 16), ...worker.receive(left, 256)];
    received.push(...frames);
    return frames.length;
  };
  for (let i = 0; i < count; i += 10) {
    const size = Math.min(10, count - i);
    const frames = Array.from({ length: size }, (_, k) => testFrame(60 + ((i + k) % 400), i + k));
    worker.transmit(options.transmit === undefined ? left : port, frames);
    drain();
  }
  while (port.reclaim() || drain() > 0) drain();
  const { counts } = port;
  port.close();
  left.close();
  worker.assertAllHome();
  return { received, counts };
}

const numberOf = (frame: Uint8Array): number => new DataView(frame.buffer).getUint32(14);
const rate = fc.double({ min: 0, max: 1, noNaN: true });
const rates = fc.record({ drop: rate, duplicate: rate, delay: rate, reorder: rate, corrupt: rate });

describe("a faulty port", () => {
  test("accounts for every frame and slot, and does the same for the same seed", () => {
    const given = fc.record({ seed: fc.integer(), rates, isSending: fc.boolean() });
    fc.assert(
      fc.property(given, ({ seed, rates, isSending }) => {
        const options = isSending ? { seed, transmit: rates } : { seed, receive: rates };
        const { received, counts } = pass(200, options);
        assert.equal(received.length, 200 - counts.dropped + counts.duplicated);
        assert.deepEqual(pass(200, options), { received, counts });
      }),
      { numRuns: 60 },
    );
  });

  test("without faults, changes nothing", () => {
    const expected = Array.from({ length: 50 }, (_, i) => testFrame(60 + i, i));
    assert.deepEqual(pass(50, { seed: 1 }).received, expected);
    assert.deepEqual(pass(50, { seed: 1, transmit: {} }).received, expected);
  });

  test("reorders and delays without loss", () => {
    const { received, counts } = pass(300, { seed: 7, receive: { reorder: 0.2, delay: 0.1 } });
    const numbers = received.map(numberOf);
    assert.ok(counts.reordered > 20 && counts.delayed > 10);
    assert.notDeepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
    );
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      Array.from({ length: 300 }, (_, i) => i),
    );
  });

  test("changes one bit of a frame that it damages", () => {
    const { received, counts } = pass(100, { seed: 3, transmit: { corrupt: 1 } });
    assert.equal(counts.corrupted, 100);
    for (const [i, frame] of received.entries()) {
      const intact = testFrame(60 + i, i);
      let bits = 0;
      for (const [at, byte] of frame.entries()) {
        for (let changed = byte ^ intact[at]!; changed !== 0; changed >>= 1) bits += changed & 1;
      }
      assert.equal(bits, 1);
    }
  });

  test("frees what waits in it when it is closed", () => {
    const [left, right] = createLoopback(worker.context(0), worker.context(1));
    const all = { delay: 0.5, reorder: 0.5 };
    const port = new FaultyPort(right, worker.allocator, { seed: 5, transmit: all, receive: all });
    worker.transmit(
      port,
      [1, 2, 3, 4].map((i) => testFrame(60, i)),
    );
    worker.transmit(
      left,
      [1, 2, 3, 4].map((i) => testFrame(60, i)),
    );
    worker.receive(port);
    assert.equal(port.reclaim(), true);
    port.close();
    left.close();
    worker.assertAllHome();
  });
});
