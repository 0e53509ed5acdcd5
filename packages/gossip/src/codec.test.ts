import assert from "node:assert/strict";
import { test } from "node:test";
import type { Portion } from "@rhone/state/write";
import fc from "fast-check";
import { Packr } from "msgpackr/pack";
import { decode, encode, type Message } from "./codec.ts";

const packr = new Packr({ useRecords: false });
const portion: Portion = {
  seal: {
    ...{ origin: "c1", clock: 7, previous: 3, part: 0, parts: 1 },
    hashes: ["ab".repeat(32), "01".repeat(32)],
    signer: "0123456789abcdef".repeat(2),
    signature: Uint8Array.from({ length: 64 }, (_, i) => i),
  },
  texts: ["[7]", "é"],
};
const unsigned: Portion = {
  seal: { ...portion.seal, signer: "", signature: new Uint8Array() },
  texts: [],
};
const cursor = { origin: "c1", clock: 7, part: 0 };
const hash = "0123456789abcdef";
const messages: Message[] = [
  { type: "change", from: "c1", portions: [portion, unsigned] },
  {
    type: "heartbeat",
    from: "c1",
    incarnation: 1,
    revision: 12,
    clock: 5,
    hash,
    underlay: "::1",
    format: 2,
  },
  { type: "sync-request", from: "c1", vector: {}, isPartial: false, after: null },
  {
    ...{ type: "sync-request", from: "c1", isPartial: true },
    vector: { c1: 7, c2: 0 },
    after: cursor,
  },
  { type: "sums-request", from: "c1" },
  { type: "sums-reply", from: "c1", sums: Uint8Array.from({ length: 16384 }, (_, i) => i) },
  { type: "buckets-request", from: "c1", buckets: [0, 1023], after: null },
  { type: "applied-request", from: "c1", vector: { c1: 7 }, timeoutMs: 1000 },
  { type: "applied-reply", from: "c1", isHeld: true, isApplied: false, revision: 3 },
  {
    ...{ type: "sync-reply", from: "c1", portions: [portion], certificates: ["AAAA"] },
    ...{ next: cursor, vector: { c1: 7 }, isBehind: false, hash },
  },
  { type: "connections-request", from: "c1", port: "vm1", after: 7, isLast: true },
  ...[null, 8].map((next) => {
    const records = Uint8Array.from({ length: 208 }, (_, i) => i);
    return { type: "connections-reply", from: "c1", layout: 1, records, next } as const;
  }),
  { type: "applied-request", from: "c1", vector: { c1: 7 }, timeoutMs: 1000, isDurable: true },
];

test("every message survives the wire", () => {
  for (const message of messages) assert.deepEqual(decode(encode(message)), message);
});

test("a truncated message is malformed, at every length", () => {
  for (const message of messages) {
    const bytes = encode(message);
    for (let size = 0; size < bytes.length; size += size < 2000 ? 1 : 97) {
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
  const [change, heartbeat, , request, , sums, buckets, asked, answered, reply, wanted, moved] =
    messages.map((message) => packr.unpack(encode(message)));
  const [packed] = change.portions;
  const withSeal = (fields: object) => ({ ...change, portions: [{ ...packed, ...fields }] });
  const wrong: [string, object][] = [
    ["no type", { ...change, type: undefined }],
    ["an unknown type", { ...change, type: "changes" }],
    ["a name that is two tokens", { ...change, from: "c1.h" }],
    ["a negative incarnation", { ...heartbeat, incarnation: -1 }],
    ["a fraction", { ...heartbeat, revision: 1.5 }],
    ["portions that are a map", { ...change, portions: {} }],
    ["a portion that is null", { ...change, portions: [null] }],
    ["an origin with a slash", withSeal({ origin: "a/b" })],
    ["a clock that is text", withSeal({ clock: "7" })],
    ["a clock beyond 2⁵³", withSeal({ clock: 2 ** 53 })],
    ["a signer that is no id", withSeal({ signer: "ab" })],
    ["half a hash", withSeal({ hashes: "AAAA" })],
    ["too many hashes", withSeal({ hashes: "A".repeat(4096) })],
    ["a signature that is no Base64", withSeal({ signature: "!" })],
    ["a text that is a number", withSeal({ texts: [1] })],
    ["too many texts", withSeal({ texts: Array(65).fill("") })],
    ["a short hash", { ...heartbeat, hash: "0123" }],
    ["a long underlay", { ...heartbeat, underlay: "f".repeat(65) }],
    ["a revision of NaN", { ...heartbeat, revision: Number.NaN }],
    ["a cursor that is a number", { ...request, after: 1 }],
    ["a cursor without a clock", { ...request, after: { origin: "c1", part: 0 } }],
    ["a vector that is a list", { ...request, vector: [] }],
    ["a vector of text", { ...request, vector: { c1: "1" } }],
    ["a vector of what is no name", { ...request, vector: { "c.1": 1 } }],
    ["a bucket that there is not", { ...buckets, buckets: [1024] }],
    ["a question that takes too long", { ...asked, timeoutMs: 1001 }],
    ["an answer that is neither yes nor no", { ...answered, isApplied: 1 }],
    ["few sums", { ...sums, sums: sums.sums.slice(4) }],
    ["a port that is none", { ...wanted, port: 7 }],
    ["a place before the first", { ...wanted, after: -1 }],
    ["perhaps the last", { ...wanted, isLast: "yes" }],
    ["records with half a word", { ...moved, records: "AAAA" }],
    ["records without a layout", { ...moved, layout: undefined }],
    ["more records than fit", { ...moved, records: "AAAA".repeat(50_000) }],
    ["a place that is text", { ...moved, next: "8" }],
    ["no next", { ...reply, next: undefined }],
    ["a long certificate", { ...reply, certificates: ["A".repeat(2049)] }],
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
  const bytes = packr.pack({ ...messages[2], color: "red", __proto__: null });
  assert.deepEqual(decode(bytes), messages[2]);
});
