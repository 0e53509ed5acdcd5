import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryBus } from "./memory-transport.ts";
import { MeteredTransport, type Topic } from "./metered-transport.ts";
import * as subjects from "./subjects.ts";
import type { Transport } from "./transport.ts";
import { VirtualClock } from "./virtual-clock.ts";

function setUp() {
  const clock = new VirtualClock();
  const bus = new MemoryBus({ random: () => 0, setTimer: clock.setTimer });
  const [a, b] = ["a", "b"].map((name) => new MeteredTransport(bus.connect(name)));
  return { clock, a: a!, b: b! };
}

/** "changes 1/5 2/9": sent and received, of what is not zero. */
function told({ counts }: MeteredTransport): string[] {
  const pair = ({ messages, bytes }: { messages: number; bytes: number }) => `${messages}/${bytes}`;
  return counts
    .filter(({ sent, received }) => sent.messages + received.messages > 0)
    .map(({ topic, sent, received }) => `${topic} ${pair(sent)} ${pair(received)}`);
}

test("counts what is said and heard, by what it is about", async () => {
  const { clock, a, b } = setUp();
  const topics: [string, Topic][] = [
    [subjects.changes("a"), "changes"],
    [subjects.heartbeats("a"), "heartbeats"],
    [subjects.answers("b"), "heartbeats"],
    [subjects.ASK_ALL, "heartbeats"],
    [subjects.memberMessages("a", "b"), "membership"],
    [subjects.sync("b"), "fetches"],
    [subjects.applied("b"), "questions"],
    ["rhone.renew", "other"],
  ];
  for (const [subject] of topics) b.subscribe(subject, () => {});
  await clock.advance(1);
  for (const [i, [subject]] of topics.entries()) a.publish(subject, new Uint8Array(10 ** i));
  await clock.advance(10);
  const sent = ["changes 1/1", "heartbeats 3/1110", "fetches 1/100000", "questions 1/1000000"];
  sent.push("membership 1/10000", "other 1/10000000");
  assert.deepEqual(
    told(a),
    sent.map((each) => `${each} 0/0`),
  );
  assert.deepEqual(
    told(b),
    sent.map((each) => each.replace(" ", " 0/0 ")),
  );
});

test("counts requests and their answers on both sides", async () => {
  const { clock, a, b } = setUp();
  b.subscribe(subjects.sync("b"), (_data, respond) => respond(new Uint8Array(50)));
  await clock.advance(1);
  const answer = a.request(subjects.sync("b"), new Uint8Array(3), 1000);
  await clock.advance(10);
  assert.equal((await answer).length, 50);
  assert.deepEqual(told(a), ["fetches 1/3 1/50"]);
  assert.deepEqual(told(b), ["fetches 1/50 1/3"]);
});

test("what is for one chassis goes the way that the transport inside has for it", () => {
  const sent: unknown[][] = [];
  const inner = {
    name: "inner",
    sendTo(...values: unknown[]) {
      sent.push([this.name, ...values]);
    },
  };
  const metered = new MeteredTransport(inner as unknown as Transport);
  const data = new Uint8Array(7);
  metered.sendTo("b", subjects.memberMessages("a", "b"), data, "once");
  assert.deepEqual(sent, [["inner", "b", "rhone.o.a.m.b", data, "once"]]);
  assert.deepEqual(told(metered), ["membership 1/7 0/0"]);
});
