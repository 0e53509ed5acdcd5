import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "@rhone/state/record";
import fc from "fast-check";
import { Packr } from "msgpackr/pack";
import { countThatFits, decode, ENTRIES_SIZE_MAX, encode, type Message } from "./codec.ts";

const packr = new Packr({ useRecords: false });
const version = { clock: 7, origin: "c1" };
const entry: Entry = {
  kind: "switch",
  name: "web",
  created: version,
  version: { clock: 9, origin: "c2" },
  value: { kind: "switch", name: "web" },
};
const messages: Message[] = [
  { type: "change", from: "c1", incarnation: 2 ** 41, seq: 1, entries: [entry] },
  { type: "change", from: "c1", incarnation: 0, seq: 2, entries: [{ ...entry, value: null }] },
  {
    type: "heartbeat",
    from: "c1",
    incarnation: 1,
    seq: 0,
    revision: 12,
    hash: "0123456789abcdef",
    underlay: "fd00::1",
  },
  { type: "sync-request", from: "c1", after: "" },
  { type: "sync-reply", from: "c1", entries: [entry], next: "switch/web" },
];

test("every message survives the wire", () => {
  for (const message of messages) assert.deepEqual(decode(encode(message)), message);
});

test("a truncated message is malformed, at every length", () => {
  for (const message of messages) {
    const bytes = encode(message);
    for (let size = 0; size < bytes.length; size++) {
      assert.equal(decode(bytes.subarray(0, size)), null);
    }
  }
});

test("random bytes, and messages with random bytes in them, never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decode(bytes);
    }),
    { numRuns: 2000 },
  );
  const edits = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
  fc.assert(
    fc.property(fc.constantFrom(...messages), edits, (message, changes) => {
      const bytes = new Uint8Array(encode(message));
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      decode(bytes);
    }),
    { numRuns: 5000 },
  );
});

test("a field of the wrong type or range is malformed", () => {
  const [change, , heartbeat, request, reply] = messages;
  const wrong: [string, object][] = [
    ["no type", { ...change, type: undefined }],
    ["an unknown type", { ...change, type: "changes" }],
    ["a name that is two tokens", { ...change, from: "c1.h" }],
    ["a seq of 0", { ...change, seq: 0 }],
    ["a negative incarnation", { ...change, incarnation: -1 }],
    ["a fraction", { ...change, seq: 1.5 }],
    ["entries that are a map", { ...change, entries: {} }],
    ["an entry that is null", { ...change, entries: [null] }],
    ["a name with a slash", { ...change, entries: [{ ...entry, name: "a/b" }] }],
    ["a value that is a list", { ...change, entries: [{ ...entry, value: [] }] }],
    ["no value", { ...change, entries: [{ ...entry, value: undefined }] }],
    ["a clock that is text", { ...change, entries: [{ ...entry, version: { clock: "7" } }] }],
    ["a clock beyond 2⁵³", { ...change, entries: [{ ...entry, version: { clock: 2 ** 53 } }] }],
    ["a short hash", { ...heartbeat, hash: "0123" }],
    ["a long underlay", { ...heartbeat, underlay: "f".repeat(65) }],
    ["a revision of NaN", { ...heartbeat, revision: Number.NaN }],
    ["a cursor that is a number", { ...request, after: 1 }],
    ["a long cursor", { ...request, after: "x".repeat(129) }],
    ["no next", { ...reply, next: undefined }],
  ];
  for (const [what, fields] of wrong) {
    const bytes = packr.pack(JSON.parse(JSON.stringify(fields)));
    assert.equal(decode(bytes), null, what);
  }
  for (const value of [null, 1, "change", [], [messages[0]]]) {
    assert.equal(decode(packr.pack(value)), null);
  }
});

test("fields that are not known are left out", () => {
  const bytes = packr.pack({ ...messages[3], color: "red", __proto__: null });
  assert.deepEqual(decode(bytes), messages[3]);
});

test("entries are cut where a message is full, and a larger one goes alone", () => {
  const large = (size: number): Entry => ({
    ...entry,
    value: { kind: "switch", name: "web", description: "x".repeat(size) },
  });
  assert.equal(countThatFits([], 0), 0);
  assert.equal(countThatFits([entry, entry, entry], 1), 2);
  assert.equal(countThatFits([large(ENTRIES_SIZE_MAX), entry], 0), 1);
  const many = Array.from({ length: 10 }, () => large(100_000));
  assert.equal(countThatFits(many, 0), 2);
  assert.equal(countThatFits(many, 9), 1);
});
