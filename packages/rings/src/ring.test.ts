import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { RingConsumer, RingProducer, ringWords } from "./ring.ts";

function makeRing(capacity: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(ringWords(capacity) * 4));
}

test("refuses a capacity that is no power of two", () => {
  assert.throws(() => new RingProducer(makeRing(3)), /power of two, got 3/);
});

test("gives back what was pushed, in order, never more than fits", () => {
  const step = fc.record({ push: fc.nat(20), pop: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const words = makeRing(16);
      const producer = new RingProducer(words);
      const consumer = new RingConsumer(words);
      const golden: number[] = [];
      const slots = new Int32Array(32);
      let next = 0;
      for (const { push, pop } of steps) {
        for (let i = 0; i < push; i++) slots[i] = next + i;
        const pushed = producer.push(slots, 0, push);
        assert.equal(pushed, Math.min(push, 16 - golden.length));
        for (let i = 0; i < pushed; i++) golden.push(next++);
        const popped = consumer.pop(slots, pop);
        assert.deepEqual([...slots.subarray(0, popped)], golden.splice(0, pop));
        assert.equal(consumer.isEmpty(), golden.length === 0);
      }
    }),
  );
});

test("keeps the order of a hundred thousand slots between two threads", async () => {
  const words = makeRing(64);
  const source = `
    import { workerData } from "node:worker_threads";
    const { RingProducer } = await import(workerData.module);
    const producer = new RingProducer(workerData.words);
    const slots = new Int32Array(48);
    for (let next = 0; next < workerData.count; ) {
      const wanted = Math.min(48, workerData.count - next);
      for (let i = 0; i < wanted; i++) slots[i] = next + i;
      next += producer.push(slots, 0, wanted);
    }`;
  const count = 100_000;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
    workerData: { words, count, module: import.meta.resolve("./ring.ts") },
  });
  const ended = once(worker, "exit");
  const consumer = new RingConsumer(words);
  const slots = new Int32Array(48);
  const deadline = performance.now() + 20_000;
  for (let next = 0; next < count; ) {
    const popped = consumer.pop(slots, 48);
    for (let i = 0; i < popped; i++) assert.equal(slots[i], next++);
    if (popped === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(performance.now() < deadline, `stuck at ${next}`);
  }
  await ended;
});
