import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryBus } from "../memory-transport.ts";
import { heartbeatPauseMs, slownessAmong } from "../pace.ts";
import { INTERVAL_MS } from "../replicator.ts";
import { heartbeats } from "../subjects.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { FallbackTransport, type Links } from "./fallback-transport.ts";

const COUNT = 60;
const NAMES = Array.from({ length: COUNT }, (_, i) => `c${i}`);

/** Links to all of `NAMES` that carry nothing, and what was told over them: "c1 true". */
function linksTo(told: string[]): Links {
  return {
    peers: NAMES,
    isLinked: () => true,
    isConnected: true,
    publish: () => {},
    publishTo: () => {},
    tellHearing: (peer, isHeard) => told.push(`${peer} ${isHeard}`),
    subscribe: () => () => {},
    request: () => Promise.reject(new Error("nothing")),
    onReconnect: () => () => {},
    onEvents: () => () => {},
    close: () => Promise.resolve(),
  };
}

test("among many, who speaks less often is heard, and who is silent is not", async () => {
  const clock = new VirtualClock();
  const { now, setTimer } = clock;
  const bus = new MemoryBus({ random: () => 0.5, setTimer });
  const told: string[] = [];
  const nats = bus.connect("self");
  const transport = new FallbackTransport({ nats, links: linksTo(told), now, setTimer });
  transport.subscribe(heartbeats("*"), () => {});
  await clock.advance(1);
  const pauseMs = INTERVAL_MS * slownessAmong(COUNT);
  const silent = new Set<string>();
  const starts = NAMES.map((name, i) => {
    const peer = bus.connect(name);
    const speak = (): void => {
      if (!silent.has(name)) peer.publish(heartbeats(name), new Uint8Array(1));
      setTimer(speak, pauseMs);
    };
    return setTimer(speak, (pauseMs * i) / COUNT);
  });
  await clock.advance(2 * pauseMs);
  told.length = 0;
  await clock.advance(20 * pauseMs);
  assert.deepEqual(
    told.filter((each) => each.endsWith("false")),
    [],
  );
  // Each is told now and then, in case it was not heard: not more often than it speaks.
  assert.ok(told.length <= 20 * COUNT, `${told.length} times`);
  silent.add("c7");
  await clock.advance(3 * pauseMs);
  const lost = new Set(told.filter((each) => each.endsWith("false")));
  assert.deepEqual([...lost], ["c7 false"]);
  for (const cancel of starts) cancel();
  await transport.close();
});

test("few peers are heard at full pace", () => {
  for (const count of [0, 1, 16]) assert.equal(slownessAmong(count), 1);
  assert.equal(slownessAmong(160), 10);
});

test("heartbeats of few are nearly regular, those of many come at any time", () => {
  for (const [count, shortestMs, longestMs] of [
    [2, 900, 1100],
    [32, 1800, 2200],
    [160, 2500, 17_500],
  ] as const) {
    assert.equal(heartbeatPauseMs(1000, count, 0), shortestMs);
    assert.equal(heartbeatPauseMs(1000, count, 1), longestMs);
  }
});
