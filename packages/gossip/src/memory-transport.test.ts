import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryBus } from "./memory-transport.ts";
import { seededRandom } from "./seeded-random.ts";
import { VirtualClock } from "./virtual-clock.ts";

const one = new Uint8Array([1]);

function setUp(seed = 1) {
  const clock = new VirtualClock();
  const random = seededRandom(seed);
  const bus = new MemoryBus({ random, setTimer: clock.setTimer, delayMinMs: 1, delayMaxMs: 5 });
  const heard: string[] = [];
  const [a, b, c] = ["a", "b", "c"].map((name) => {
    const transport = bus.connect(name);
    transport.subscribe("x.*.y", (data, _respond, subject) => {
      heard.push(`${name} ${subject} ${data}`);
    });
    return transport;
  });
  return { clock, bus, heard, a: a!, b: b!, c: c! };
}

test("reaches every other subscriber of a matching subject, not the sender", async () => {
  const { clock, heard, a } = setUp();
  await clock.advance(1);
  a.publish("x.1.y", one);
  a.publish("x.1.z", one);
  a.publish("x.1.y.z", one);
  await clock.advance(10);
  assert.deepEqual(heard.sort(), ["b x.1.y 1", "c x.1.y 1"]);
});

test("a partition separates, and ends", async () => {
  const { clock, bus, heard, a } = setUp();
  await clock.advance(1);
  bus.partition([["a", "b"]]);
  a.publish("x.1.y", one);
  await clock.advance(10);
  bus.heal();
  a.publish("x.2.y", one);
  await clock.advance(10);
  assert.deepEqual(heard.sort(), ["b x.1.y 1", "b x.2.y 1", "c x.2.y 1"]);
});

test("what is on its way when the partition comes is lost", async () => {
  const { clock, bus, heard, a } = setUp();
  await clock.advance(1);
  a.publish("x.1.y", one);
  bus.partition([["a"], ["b"], ["c"]]);
  await clock.advance(10);
  assert.deepEqual(heard, []);
});

test("loss and repetition are as often as asked, and the same for the same seed", async () => {
  const counts: number[] = [];
  for (const seed of [5, 5, 6]) {
    const { clock, bus, heard, a } = setUp(seed);
    await clock.advance(1);
    bus.lossRate = 0.5;
    bus.repeatRate = 0.5;
    for (let i = 0; i < 1000; i++) a.publish("x.1.y", one);
    await clock.advance(10);
    counts.push(heard.length);
  }
  assert.equal(counts[0], counts[1]);
  for (const count of counts) assert.ok(count > 1350 && count < 1650, `${count} of 1500`);
});

test("a request gets one answer, or fails in time", async () => {
  const { clock, a, b, c } = setUp();
  await clock.advance(1);
  b.subscribe("ask", (data, respond) => respond(new Uint8Array([data[0]! + 1])));
  c.subscribe("ask", (data, respond) => respond(new Uint8Array([data[0]! + 1])));
  const answered = a.request("ask", one, 100);
  const ignored = assert.rejects(a.request("nobody", one, 100), /no answer to nobody within 100/);
  await clock.advance(100);
  assert.deepEqual(await answered, new Uint8Array([2]));
  await ignored;
});

test("tells when it is connected, and drops what is sent while it is not", async () => {
  const { clock, heard, a } = setUp();
  let count = 0;
  a.onReconnect(() => count++);
  a.publish("x.1.y", one);
  await assert.rejects(a.request("ask", one, 100), /not connected/);
  await clock.advance(1);
  a.setConnected(false);
  a.setConnected(true);
  await clock.advance(10);
  assert.equal(count, 2);
  assert.deepEqual(heard, []);
});

test("close fails the requests in flight", async () => {
  const { clock, a } = setUp();
  await clock.advance(1);
  const failed = assert.rejects(a.request("ask", one, 1000), /a was closed/);
  await a.close();
  await failed;
  assert.equal(a.isConnected, false);
});
