import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Store } from "@rhone/state/store";
import { encode } from "./codec.ts";
import { MemoryBus } from "./memory-transport.ts";
import { Replicator } from "./replicator.ts";
import { seededRandom } from "./seeded-random.ts";
import * as subjects from "./subjects.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** Chassis a with its replicator; the test plays the others. */
function alone(store: Store): { clock: VirtualClock; bus: MemoryBus; replicator: Replicator } {
  const clock = new VirtualClock();
  const { now, setTimer } = clock;
  const random = seededRandom(1);
  const bus = new MemoryBus({ random, setTimer });
  const self = { name: "a", incarnation: 1, underlay: "10.0.0.1" };
  const transport = bus.connect("a");
  return {
    clock,
    bus,
    replicator: new Replicator({ store, transport, self, now, setTimer, random }),
  };
}

test("of those whose own writes are here, one is asked at a time", async () => {
  const { clock, bus, replicator } = alone(createMemoryStore("a"));
  const asked = new Set<string>();
  const peers = ["b", "c", "d", "e"].map((name) => {
    const transport = bus.connect(name);
    // Nobody answers, so each is asked again.
    transport.subscribe(subjects.sync(name), () => void asked.add(name));
    const say = (latest: number): void => {
      const said = { incarnation: 1, revision: 9, clock: latest, hash: "f".repeat(16), format: 0 };
      const heartbeat = { type: "heartbeat", from: name, ...said, underlay: "10.0.0.2" } as const;
      transport.publish(subjects.heartbeats(name), encode(heartbeat));
    };
    return say;
  });
  await clock.advance(10);
  for (const say of peers) say(0);
  await clock.advance(100);
  assert.deepEqual([...asked], ["b"]);
  for (const say of peers) say(7);
  await clock.advance(100);
  assert.deepEqual(
    [...asked],
    ["b", "c"],
    "who wrote what is missing is asked, two at the same time",
  );
  await clock.advance(1500);
  assert.deepEqual([...asked], ["b", "c", "d", "e"]);
  replicator.stop();
});
