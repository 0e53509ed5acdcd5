/** What one chassis with a barrier says to a peer, message by message. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { MemoryBus } from "../memory-transport.ts";
import * as subjects from "../subjects.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { Barrier, EXACT_WAIT_MS } from "./barrier.ts";
import { type BarrierMessage, decode, encode } from "./messages.ts";

const FIRST = "00000000000000aa";
const SECOND = "00000000000000bb";

/** A barrier `a` that knows of `b`, and what `b` hears of it. */
function start(t: TestContext) {
  const clock = new VirtualClock();
  const { now, setTimer } = clock;
  const bus = new MemoryBus({ random: () => 0.5, setTimer, delayMinMs: 1 });
  const [transport, peer] = [bus.connect("a"), bus.connect("b")];
  const heard: (BarrierMessage | null)[] = [];
  const hear = (data: Uint8Array): void => void heard.push(decode(data));
  peer.subscribe(subjects.barrierNews("a"), hear);
  peer.subscribe(subjects.barrierAnswers("a", "b"), hear);
  const say = (message: BarrierMessage): void => {
    peer.publish(subjects.barrierAnswers("b", "a"), encode(message));
  };
  let vector = { a: 1 };
  const begun: number[] = [];
  const barrier = new Barrier({
    ...{ self: "a", editionsMax: 8, now, setTimer, vector: () => vector, hurry: () => {} },
    begin: (edition) => void begun.push(edition),
  });
  t.after(() => barrier.stop());
  barrier.onMember("b", "alive");
  const publish = (edition: number, clock: number, root: string): void => {
    vector = { a: clock };
    barrier.publish(edition, { vector, revision: clock, root });
    barrier.hold(edition);
  };
  publish(1, 1, FIRST);
  const connect = (): void => barrier.connect({ transport, want: () => {} });
  return { clock, heard, say, begun, publish, connect };
}

test("who was to be asked before there was a connection is asked when there is one", async (t) => {
  const { clock, heard, connect } = start(t);
  connect();
  await clock.advance(0);
  assert.deepEqual(heard, [], "it was not connected");
  await clock.advance(5);
  assert.deepEqual(heard, [{ type: "wait", clock: 0 }]);
});

test("a state that not all hold is not told as one that they do", async (t) => {
  const { clock, heard, say, begun, publish, connect } = start(t);
  connect();
  await clock.advance(5);
  say({ type: "wait", clock: 1 });
  await clock.advance(5);
  publish(2, 2, SECOND);
  await clock.advance(5);
  say({ type: "held", clock: 2, root: "" }); // With something else beside it.
  await clock.advance(EXACT_WAIT_MS + 10);
  assert.deepEqual(begun.at(-1), 2, "each write in it was released");
  heard.length = 0;
  say({ type: "wait", clock: 2 });
  await clock.advance(5);
  assert.deepEqual(heard, [{ type: "begin", clock: 2, root: "" }]);
});
