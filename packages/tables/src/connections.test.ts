import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapStatistics } from "node:v8";
import { poolViews } from "@rhone/rings/pool";
import fc from "fast-check";
import { createConnections, installConnections, usageOf } from "./connection-memory.ts";
import { GoldenConnections, type GoldenKey } from "./connections.golden.ts";

// Small enough to be full soon: sixteen entries a bucket.
const memory = createConnections(4096);
installConnections(memory);
const connections = await import("./connections.ts");
const { NONE } = connections;
const { view } = poolViews();

interface Flow {
  readonly vni: number;
  readonly port: number;
  readonly protocol: number;
  readonly isIpv6: boolean;
  readonly low: number;
  readonly high: number;
  readonly lowPort: number;
  readonly highPort: number;
  readonly bucket: number;
}

const flows = fc.record<Flow>({
  vni: fc.constantFrom(1, 2, 0xffffff),
  port: fc.constantFrom(1, 2, 32767),
  protocol: fc.constantFrom(6, 17),
  isIpv6: fc.boolean(),
  low: fc.constantFrom(0x0a000001, 0x0a000002, 0xc0a80001 | 0),
  high: fc.constantFrom(0x0a000001, 0x0a000002, 0xc0a80001 | 0),
  lowPort: fc.constantFrom(1, 80, 65535),
  highPort: fc.constantFrom(1, 80, 65535),
  bucket: fc.constantFrom(0, 255),
});

/** Loads the flow's key, as a packet from its low or its high end has it. */
function load(flow: Flow, isBack: boolean): number {
  const { vni, port, protocol, isIpv6 } = flow;
  const [source, destination] = isBack ? [flow.high, flow.low] : [flow.low, flow.high];
  const [from, to] = isBack ? [flow.highPort, flow.lowPort] : [flow.lowPort, flow.highPort];
  if (isIpv6) {
    for (const [at, word] of [
      [1024, source],
      [1040, destination],
    ] as const) {
      view.setInt32(at, 0x20010db8);
      view.setInt32(at + 4, word);
      view.setInt32(at + 8, 0);
      view.setInt32(at + 12, word >>> 31); // Only the words in front tell most of them apart.
    }
    connections.loadIpv6(vni, port, protocol, 1024, 1040, from, to);
  } else {
    connections.loadIpv4(vni, port, protocol, source, destination, from, to);
  }
  // As a flow hash is: the same from both ends.
  const ends = (flow.low + flow.high) * 31 + flow.lowPort + flow.highPort;
  return (flow.bucket << 24) | (ends & 0xffff);
}

function goldenKey(flow: Flow, isBack: boolean): GoldenKey {
  const ends = [`${flow.low}:${flow.lowPort}`, `${flow.high}:${flow.highPort}`];
  if (isBack) ends.reverse();
  const zone = `${flow.vni}/${flow.port}/${flow.isIpv6}/${flow.bucket}`;
  return { zone, protocol: flow.protocol, source: ends[0]!, destination: ends[1]! };
}

function isHairpin(flow: Flow): boolean {
  return flow.low === flow.high && flow.lowPort === flow.highPort;
}

const operations = fc.array(
  fc.record({
    flow: flows,
    isBack: fc.boolean(),
    what: fc.constantFrom("find", "insert", "remove", "expire", "reply", "block"),
    wait: fc.constantFrom(0, 0, 10),
  }),
  { maxLength: 60 },
);

test("finds, forgets and expires what the plain twin does", () => {
  let now = 2 ** 31 - 500; // The clock wraps on the way.
  fc.assert(
    fc.property(operations, (list) => {
      const golden = new GoldenConnections();
      now += 100_000; // What the case before left has run out.
      for (let bucket = 0; bucket < 256; bucket++) connections.sweep(bucket, 16, now);
      for (const { flow, isBack, what, wait } of list) {
        if (isHairpin(flow)) continue;
        now += wait;
        const hash = load(flow, isBack);
        const key = goldenKey(flow, isBack);
        const expected = golden.find(key, now);
        const entry = connections.find(hash, now);
        assert.equal(entry !== NONE, expected !== undefined);
        if (expected !== undefined) {
          assert.equal(connections.isReply(entry), golden.isReply(key, now));
          assert.equal(connections.hasFlag(entry, connections.REPLY_SEEN), expected.isReplySeen);
          assert.equal(connections.hasFlag(entry, connections.BLOCKED), expected.isBlocked);
          assert.equal(connections.expires(entry), expected.expires | 0);
        }
        if (what === "insert" && expected === undefined) {
          if (usageOfBucket(flow.bucket) === 16) continue; // Full buckets have a test of their own.
          const made = connections.insert(hash, now);
          assert.equal(connections.decision(made, 0), -1);
          connections.setExpires(made, now + 25);
          golden.insert(key, now);
          golden.find(key, now)!.expires = now + 25;
        } else if (expected !== undefined) {
          if (what === "remove") {
            connections.remove(entry);
            golden.remove(key);
          } else if (what === "expire") {
            connections.setExpires(entry, now + 5);
            expected.expires = now + 5;
          } else if (what === "reply") {
            connections.setFlag(entry, connections.REPLY_SEEN);
            expected.isReplySeen = true;
          } else if (what === "block") {
            connections.setFlag(entry, connections.BLOCKED);
            expected.isBlocked = true;
          }
        }
      }
      for (const bucket of [0, 255]) connections.sweep(bucket, 16, now);
      assert.equal(usageOf(memory).inUse, golden.count(now));
    }),
    { numRuns: 500 },
  );
});

/** Entries in use of one bucket, counted by asking the whole table before and after. */
function usageOfBucket(bucket: number): number {
  const words = new Int32Array(memory);
  return words[2 + bucket * 32 + 2]!;
}

function loadNumber(number: number): number {
  connections.loadIpv4(9, 9, 17, 0x0b000000 + number, 0x0c000000, 5, 6);
  return (7 << 24) | ((number * 2654435761) % 65536);
}

test("a full bucket gives up what ran out, then what has no reply, and nothing else", () => {
  const now = 10_000_000;
  for (let i = 0; i < 16; i++) {
    const entry = connections.insert(loadNumber(i), now);
    connections.setExpires(entry, now + 1000 + i);
    if (i !== 3) connections.setFlag(entry, connections.REPLY_SEEN);
  }
  const before = usageOf(memory);
  const replacing = connections.insert(loadNumber(100), now);
  connections.setExpires(replacing, now + 5000);
  connections.setFlag(replacing, connections.REPLY_SEEN);
  assert.equal(connections.find(loadNumber(3), now), NONE);
  assert.equal(connections.insert(loadNumber(101), now), NONE);
  const later = now + 1005; // Five have run out.
  assert.notEqual(connections.insert(loadNumber(102), later), NONE);
  const after = usageOf(memory);
  assert.equal(after.earlyDropped - before.earlyDropped, 1);
  assert.equal(after.refused - before.refused, 1);
  assert.equal(after.expired - before.expired, 1);
  for (let i = 6; i < 16; i++)
    assert.notEqual(connections.find(loadNumber(i), later), NONE, `${i}`);
  connections.sweep(7, 32, later + 100_000);
  assert.equal(usageOfBucket(7), 0);
});

test("a million look-ups allocate nothing", () => {
  const hash = loadNumber(1);
  const entry = connections.insert(hash, 0);
  connections.setExpires(entry, 1_000_000);
  let found = 0;
  const allocatedBy = (count: number): number => {
    const before = getHeapStatistics().total_allocated_bytes;
    for (let i = 0; i < count; i++) {
      loadNumber(1);
      if (connections.find(hash, i & 1023) === entry) found++;
      connections.setExpires(entry, 1_000_000 + (i & 7));
    }
    return (getHeapStatistics().total_allocated_bytes - before) / count;
  };
  for (let warmUps = 0; warmUps < 20 && allocatedBy(100_000) > 1; warmUps++);
  assert.ok(allocatedBy(1_000_000) <= 1);
  assert.ok(found > 1_000_000);
});

test("says how large a table may be", () => {
  assert.throws(() => createConnections(255), /expected 256 to 4194304 connections, got 255/);
  assert.throws(() => createConnections(5_000_000), /got 5000000/);
});
