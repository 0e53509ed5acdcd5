import assert from "node:assert/strict";
import { test } from "node:test";
import { getHeapStatistics } from "node:v8";
import { poolViews } from "@rhone/rings/pool";
import fc from "fast-check";
import { listConnections } from "./connection-list.ts";
import {
  createConnections,
  HEAD_LISTS,
  HEAD_WORDS,
  installConnections,
  installedConnections,
  usageOf,
} from "./connection-memory.ts";
import { GoldenConnections, type GoldenKey } from "./connections.golden.ts";

// Small enough to be full soon.
const PER_BUCKET = 16;
const LIFETIME_MS = 300;
const memory = createConnections(256 * PER_BUCKET);
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

/** Few values: keys that differ in one word only. */
const flow = fc.record<Flow>({
  vni: fc.constantFrom(1, 2, 0, 0xffffff),
  port: fc.constantFrom(1, 2, 65535),
  protocol: fc.constantFrom(0, 6, 17),
  isIpv6: fc.boolean(),
  low: fc.constantFrom(0x0a000001, 0x0a000002, 0xc0a80001 | 0),
  high: fc.constantFrom(0x0a000001, 0x0a000002, 0xc0a80001 | 0),
  lowPort: fc.constantFrom(1, 80, 65535),
  highPort: fc.constantFrom(1, 80, 65535),
  bucket: fc.constantFrom(0, 255, 255, 255),
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
  // Few hashes, so that flows meet in the index; the same for both directions.
  return (flow.bucket << 24) | ((flow.low ^ flow.high ^ flow.lowPort ^ flow.highPort) & 0x13);
}

function goldenKey(flow: Flow, isBack: boolean): GoldenKey {
  const { vni, port, protocol, isIpv6, bucket } = flow;
  const ends = [`${flow.low}:${flow.lowPort}`, `${flow.high}:${flow.highPort}`];
  if (isBack) ends.reverse();
  // The bucket follows from a flow's key; here it is chosen, and so a part of the key.
  const zone = `${vni}/${port}/${isIpv6}/${bucket}`;
  return { zone, bucket, protocol, source: ends[0]!, destination: ends[1]! };
}

interface Step {
  readonly flow: number;
  readonly isBack: boolean;
  /** "answered": inserted, and its reply comes at once. */
  readonly what:
    | "answered"
    | "find"
    | "insert"
    | "remove"
    | "expire"
    | "reply"
    | "block"
    | "unblock"
    | "sweep";
  readonly waitMs: number;
}

const step = fc.record<Step>({
  flow: fc.nat(47),
  isBack: fc.boolean(),
  what: fc.oneof(
    { weight: 6, arbitrary: fc.constant("insert" as const) },
    { weight: 6, arbitrary: fc.constant("answered" as const) },
    fc.constantFrom("find", "reply", "remove", "expire", "block", "unblock", "sweep"),
  ),
  waitMs: fc.oneof(
    { weight: 20, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constantFrom(1, 100) },
  ),
});

/** The entry, after all that is said of it was compared with the twin. */
function findInBoth(golden: GoldenConnections, flow: Flow, isBack: boolean, now: number): number {
  const key = goldenKey(flow, isBack);
  const expected = golden.find(key, now);
  const entry = connections.find(load(flow, isBack), now);
  assert.equal(entry !== NONE, expected !== undefined, "is present");
  if (expected === undefined) return NONE;
  assert.equal(connections.isReply(entry), golden.isReply(key, now), "direction");
  assert.equal(connections.hasFlag(entry, connections.REPLY_SEEN), expected.isReplySeen);
  assert.equal(connections.hasFlag(entry, connections.BLOCKED), expected.isBlocked);
  assert.equal(connections.expires(entry), expected.expires | 0);
  assert.equal(connections.state(entry), 77, "what was written stays");
  assert.equal(connections.decision(entry, 7), 7);
  return entry;
}

function insertInBoth(golden: GoldenConnections, flow: Flow, isBack: boolean, now: number): void {
  const made = golden.insert(goldenKey(flow, isBack), now);
  const entry = connections.insert(load(flow, isBack), now);
  assert.equal(entry !== NONE, made !== undefined, "there is room");
  if (made === undefined) return;
  assert.equal(connections.state(entry), 0);
  connections.setState(entry, 77);
  for (let word = 0; word < 8; word++) {
    // Nothing is left of the entry whose place it took.
    assert.equal(connections.decision(entry, word), -1);
    assert.equal(connections.tcpWord(entry, word >>> 2, word & 3), 0);
    connections.setDecision(entry, word, word);
    connections.setTcpWord(entry, word >>> 2, word & 3, 1 + word);
  }
  made.expires = now + LIFETIME_MS;
  connections.setExpires(entry, now + LIFETIME_MS);
}

function changeInBoth(
  golden: GoldenConnections,
  flow: Flow,
  what: Step["what"],
  isBack: boolean,
  now: number,
): void {
  const entry = findInBoth(golden, flow, isBack, now);
  if (entry === NONE) {
    if (what !== "insert" && what !== "answered") return;
    insertInBoth(golden, flow, isBack, now);
    if (what === "answered") changeInBoth(golden, flow, "reply", isBack, now);
    return;
  }
  const key = goldenKey(flow, isBack);
  const expected = golden.find(key, now)!;
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
  } else if (what === "unblock") {
    connections.clearFlag(entry, connections.BLOCKED);
    expected.isBlocked = false;
  }
}

test("finds, forgets, expires and gives up what the plain twin does", () => {
  let now = 2 ** 31 - 5_000_000; // The clock wraps on the way.
  const pool = fc.array(flow, { minLength: 48, maxLength: 48 });
  fc.assert(
    fc.property(
      pool,
      fc.array(step, { minLength: 1, maxLength: 250, size: "max" }),
      (flows, steps) => {
        const golden = new GoldenConnections(PER_BUCKET);
        now += 100_000; // What the case before left has run out.
        sweepAll(now);
        const before = usageOf(memory);
        assert.equal(before.inUse, 0);
        let removed = 0;
        for (const each of steps) {
          now += each.waitMs;
          if (each.what === "sweep") sweepAll(now);
          const count = golden.count(now);
          changeInBoth(golden, flows[each.flow]!, each.what, each.isBack, now);
          if (each.what === "remove") removed += count - golden.count(now);
        }
        for (const each of flows) findInBoth(golden, each, false, now);
        for (const each of flows) findInBoth(golden, each, true, now);
        sweepAll(now);
        const after = usageOf(memory);
        assert.equal(after.inUse, golden.count(now));
        assert.equal(listConnections().length, after.inUse);
        assert.equal(after.inserted - before.inserted, golden.inserted);
        assert.equal(after.earlyDropped - before.earlyDropped, golden.earlyDropped);
        assert.equal(after.refused - before.refused, golden.refused);
        const gone = after.expired - before.expired + golden.earlyDropped + removed;
        assert.equal(golden.inserted - gone, after.inUse);
      },
    ),
    { numRuns: 500 },
  );
  const { expired, earlyDropped, refused } = usageOf(memory);
  const isFull = expired > 1000 && earlyDropped > 1000 && refused > 100;
  assert.ok(isFull, `expected full buckets, got ${JSON.stringify({ earlyDropped, refused })}`);
});

function sweepAll(now: number): void {
  for (const bucket of [0, 255]) connections.sweep(bucket, PER_BUCKET, now);
}

function inUse(): number {
  return usageOf(memory).inUse;
}

function loadNumber(number: number): number {
  connections.loadIpv4(9, 9, 17, 0x0b000000 + number, 0x0c000000, 5, 6);
  return (7 << 24) | ((number * 2654435761) % 65536);
}

test("a full bucket gives up what ran out, then what has no reply, and nothing else", () => {
  const now = 10_000_000;
  const inUseBefore = inUse();
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
  assert.equal(inUse(), inUseBefore);
});

test("what an owner left in the middle of something is made whole, and no entry is lost", () => {
  const now = 20_000_000;
  const { words, headsAt, indexAt, places } = installedConnections();
  const before = inUse();
  for (let i = 0; i < 14; i++) {
    const entry = connections.insert(loadNumber(i), now);
    connections.setExpires(entry, now + 1000);
    if (i % 3 === 0) connections.setFlag(entry, connections.REPLY_SEEN);
  }
  for (const gone of [2, 5, 6]) connections.remove(connections.find(loadNumber(gone), now));
  // The index with a gap, an entry twice and a stray word; lists that lead nowhere; a wrong count.
  const head = headsAt + 7 * HEAD_WORDS;
  words.copyWithin(indexAt + 7 * places, indexAt + 7 * places + 1, indexAt + 8 * places);
  for (const word of HEAD_LISTS) words[head + word] = 9;
  connections.rebuild(7);
  assert.equal(inUse(), before + 11);
  for (let i = 0; i < 14; i++) {
    const isThere = connections.find(loadNumber(i), now) !== NONE;
    assert.equal(isThere, ![2, 5, 6].includes(i), `${i}`);
  }
  // Five places are free; then those give way that have no reply, and only they: seven of them.
  for (let i = 0; i < 5 + 7; i++) {
    const entry = connections.insert(loadNumber(50 + i), now);
    assert.notEqual(entry, NONE);
    connections.setFlag(entry, connections.REPLY_SEEN);
  }
  assert.equal(connections.insert(loadNumber(70), now), NONE);
  connections.sweep(7, 32, now + 100_000);
  assert.equal(inUse(), before);
});

test("a key with another end is that of a packet which has it", () => {
  const now = 30_000_000;
  const property = fc.property(
    flow,
    flow,
    fc.boolean(),
    fc.boolean(),
    (any, other, isBack, isSource) => {
      const before = { ...any, vni: 5, bucket: 9 }; // Where no other test has any.
      const isLow = isSource !== isBack;
      const end = isLow
        ? { low: other.low, lowPort: other.lowPort }
        : { high: other.low, highPort: other.lowPort };
      const after = { ...before, ...end };
      const words = before.isIpv6
        ? [0x20010db8, other.low, 0, other.low >>> 31]
        : [0, 0, 0xffff, other.low];
      const hash = load(after, isBack);
      const entry = connections.insert(hash, now);
      connections.setExpires(entry, now + 1000);
      const isSame = after.low === after.high && after.lowPort === after.highPort;
      load(before, isBack);
      connections.loadOtherEnd(isSource, Int32Array.from(words), other.lowPort);
      assert.equal(connections.find(hash, now), entry);
      assert.equal(connections.isReply(entry), false);
      load(before, !isBack);
      connections.loadOtherEnd(!isSource, Int32Array.from(words), other.lowPort);
      assert.equal(connections.find(hash, now), entry);
      assert.equal(connections.isReply(entry), !isSame);
      connections.remove(entry);
    },
  );
  fc.assert(property, { numRuns: 2000 });
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
  // The compiler may be late; what allocates for a look-up does so in every round.
  let bytes = allocatedBy(1_000_000);
  for (let i = 1; i < 10 && bytes > 1; i++) bytes = allocatedBy(1_000_000);
  assert.ok(bytes <= 1, `expected at most 1 byte a look-up, got ${bytes}`);
  assert.ok(found >= 1_000_000);
});

test("says how large a table may be", () => {
  assert.throws(() => createConnections(255), /expected 256 to 4194304 connections, got 255/);
  assert.throws(() => createConnections(5_000_000), /got 5000000/);
});
