import assert from "node:assert/strict";
import { hash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";
import { hashOf, type Portion } from "@rhone/state/write";
import fc from "fast-check";
import { Packr } from "msgpackr/pack";
import { type ChangeMessage, decode, encode, type HeartbeatMessage } from "./codec.ts";
import { isPacked, packChange, packHeartbeat, UNPACKED_SIZE_MAX, unpack } from "./packed.ts";
import { DICTIONARY } from "./packed-dictionary.ts";
import { isPlain } from "./plain-msgpack.ts";

const packr = new Packr({ useRecords: false });
const HEAD_SIZE = 5;

/** What a request to change a rule leaves: the rule, and who changed it. */
const RULE = [
  `[459641427,"left","put","acl","changing-2",{"kind":"acl","name":"changing-2","switch":"front",` +
    `"direction":"from-port","priority":900,"match":{"protocol":"tcp",` +
    `"destination":"172.17.18.0/24"},"action":"drop"},[459641411,"left"]]`,
  `[459641427,"left","put","audit","18-360f84035942243c6a36537a",{"kind":"audit",` +
    `"name":"18-360f84035942243c6a36537a","chassis":"left","sequence":19,` +
    `"at":"2026-11-29T11:53:08.073Z","who":"(no token)","from":"127.0.0.1","method":"POST",` +
    `"path":"/v1/apply","targets":[{"kind":"acl","name":"changing-2","change":"created"}],` +
    `"targetCount":1,"revision":459641427}]`,
];

function portionOf(texts: readonly string[], isSigned = true): Portion {
  const seal = {
    ...{ origin: "left", clock: 459641427, previous: 459641425, part: 0, parts: 1 },
    hashes: texts.map(hashOf),
    signer: isSigned ? "0123456789abcdef".repeat(2) : "",
    signature: isSigned ? Uint8Array.from(randomBytes(64)) : new Uint8Array(),
  };
  return { seal, texts };
}

function changeOf(...portions: Portion[]): ChangeMessage {
  return { type: "change", from: "left", portions };
}

const heartbeat: HeartbeatMessage = {
  ...{ type: "heartbeat", from: "left", incarnation: 1796000000000, revision: 459641427 },
  ...{ clock: 459641427, hash: "0123456789abcdef", underlay: "192.168.99.1", format: 2 },
};
const change = changeOf(portionOf(RULE), portionOf(["é", ""], false));

test("what is packed comes out the same", () => {
  assert.deepEqual(decode(packChange(change)!), change);
  assert.deepEqual(decode(packHeartbeat(heartbeat)), heartbeat);
});

test("writes that are left out of a portion are named by their hashes", () => {
  const whole = portionOf(RULE);
  for (const texts of [[RULE[1]!], [RULE[0]!], []]) {
    const message = changeOf({ ...whole, texts });
    assert.deepEqual(decode(packChange(message)!), message);
  }
  // The order of the seal.
  const turned = changeOf({ ...whole, texts: whole.texts.toReversed() });
  assert.deepEqual(decode(packChange(turned)!), changeOf(whole));
});

test("what no store makes has no packed form", () => {
  const { seal, texts } = portionOf(RULE);
  const short = { ...seal, signature: new Uint8Array(63) };
  const unsigned = { ...seal, signer: "" };
  assert.equal(packChange(changeOf({ seal: short, texts })), null);
  assert.equal(packChange(changeOf({ seal: unsigned, texts })), null);
  assert.equal(packChange(changeOf({ seal, texts: ["not sealed"] })), null);
  assert.equal(packChange(changeOf(portionOf(["x".repeat(UNPACKED_SIZE_MAX)]))), null);
});

test("a change takes less than a third of the plain form, a heartbeat less than half", (t) => {
  const message = changeOf(portionOf(RULE));
  const [packed, plain] = [packChange(message)!.length, encode(message).length];
  const beats = [packHeartbeat(heartbeat).length, encode(heartbeat).length] as const;
  t.diagnostic(`a change ${packed} of ${plain} bytes, a heartbeat ${beats[0]} of ${beats[1]}`);
  assert.ok(packed < plain / 3, `${packed} of ${plain} bytes`);
  assert.ok(beats[0] < beats[1] / 2, `${beats[0]} of ${beats[1]} bytes`);
});

test("a sender without the dictionary is understood", () => {
  const packed = Buffer.from(packChange(change)!);
  const rawSize = packed.readUIntBE(2, 3);
  const list = change.portions.map(({ seal, texts }) => {
    const { origin, clock, previous, part, parts, signer } = seal;
    return [origin, clock, clock - previous, part, parts, signer !== "", texts];
  });
  const body = deflateRawSync(packr.pack(["left", list]));
  const longer = Buffer.concat([packed.subarray(0, HEAD_SIZE + rawSize), body]);
  assert.deepEqual(decode(longer), change);
});

test("chassis that know no packed messages take them for malformed", () => {
  for (const bytes of [packChange(change)!, packHeartbeat(heartbeat)]) {
    assert.ok(isPacked(bytes));
    assert.equal(isPlain(bytes), false);
  }
});

test("a truncated message is malformed at every length, and so is an unknown type", () => {
  for (const bytes of [packChange(change)!, packHeartbeat(heartbeat)]) {
    for (let size = 0; size < bytes.length; size++) {
      assert.equal(unpack(bytes.subarray(0, size)), null, `${size} bytes`);
    }
    assert.equal(decode(Uint8Array.of(0xc1, 77, ...bytes.subarray(2))), null);
  }
});

test("random bytes, and messages with random bytes in them, never throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 3 }), (rest, type) => {
      decode(Uint8Array.of(0xc1, type, ...rest));
    }),
    { numRuns: 1000 },
  );
  const edits = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
  const samples = [packChange(change)!, packHeartbeat(heartbeat)];
  fc.assert(
    fc.property(fc.constantFrom(...samples), edits, (sample, changes) => {
      const bytes = Uint8Array.from(sample);
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      decode(bytes);
    }),
    { numRuns: 3000 },
  );
});

/** A change whose compressed part is of `fields`. */
function forged(raw: Uint8Array, ...fields: unknown[]): Uint8Array {
  const size = [0, raw.length >> 8, raw.length & 0xff];
  return Uint8Array.of(0xc1, 1, ...size, ...raw, ...deflateRawSync(packr.pack(fields)));
}

test("a field of the wrong type or range is malformed", () => {
  const signed = new Uint8Array(80);
  const right = ["a", 7, 3, 0, 1, true, ["x"]];
  assert.notEqual(decode(forged(signed, "a", [right])), null);
  const wrong: [string, Uint8Array][] = [
    ["no portions", forged(signed, "a")],
    ["a name that is two tokens", forged(signed, "a.b", [right])],
    ["portions that are text", forged(signed, "a", "x")],
    ["a portion that is null", forged(signed, "a", [null])],
    ["a portion that is short", forged(signed, "a", [right.slice(1)])],
    ["more raw bytes than are used", forged(new Uint8Array(81), "a", [right])],
    ["fewer raw bytes than are used", forged(new Uint8Array(79), "a", [right])],
    ...[
      [0, "a/b"],
      [1, "7"],
      [2, 8],
      [3, -1],
      [4, 0.5],
      [5, 1],
      [6, "x"],
      [6, [1]],
      [6, Array(65).fill("x")],
    ].map(([at, value]): [string, Uint8Array] => [
      `field ${at}: ${value}`,
      forged(signed, "a", [right.with(at as number, value as string)]),
    ]),
  ];
  for (const [what, bytes] of wrong) assert.equal(decode(bytes), null, what);
});

test("what becomes too large when it is unpacked is refused", () => {
  const long = "x".repeat(UNPACKED_SIZE_MAX - 100);
  const part = ["a", 7, 3, 0, 1, false, [long]];
  assert.notEqual(decode(forged(new Uint8Array(), "a", [part])), null);
  assert.equal(decode(forged(new Uint8Array(), "a", [part, part])), null);
});

test("the dictionary is that of the format", () => {
  // With another one, who has this one understands nothing; FORMAT says which there is.
  assert.equal(hash("sha256", DICTIONARY).slice(0, 16), "d541f20619cf864e");
});
