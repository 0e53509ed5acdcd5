import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Packr } from "msgpackr/pack";
import { type Claim, STATUSES } from "./claim.ts";
import { CLAIMS_MAX, decode, encode, MESSAGE_SIZE_MAX, MESSAGE_TYPES } from "./messages.ts";

const WALL_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const LONG_NAME = `a${"b".repeat(61)}c`;
const packr = new Packr({ useRecords: false });

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const incarnation = fc.integer({ min: 0, max: WALL_MS });
const claim: fc.Arbitrary<Claim> = fc
  .record({ name, status: fc.constantFrom(...STATUSES), incarnation, accuser: name })
  .map(({ accuser, ...rest }) => ({ ...rest, by: rest.status === "suspect" ? accuser : "" }));
const message = fc
  .record({
    type: fc.constantFrom(...MESSAGE_TYPES),
    seq: fc.integer({ min: 0, max: 0xffffffff }),
    about: name,
    incarnation,
    claims: fc.array(claim, { maxLength: CLAIMS_MAX }),
  })
  .map(({ about, ...rest }) => ({ ...rest, target: rest.type === "ping-request" ? about : "" }));

test("what was encoded is decoded", () => {
  fc.assert(fc.property(message, (sent) => assert.deepEqual(decode(encode(sent), WALL_MS), sent)));
});

test("a message that is cut anywhere is none, and so are random bytes", () => {
  fc.assert(
    fc.property(message, fc.nat(), (sent, at) => {
      const bytes = encode(sent);
      assert.equal(decode(bytes.subarray(0, at % bytes.length), WALL_MS), "member-malformed");
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const decoded = decode(bytes, WALL_MS);
      assert.ok(typeof decoded === "object" || decoded === "member-malformed");
    }),
  );
});

test("the largest message fits, and a larger one is not looked at", () => {
  const long = { name: LONG_NAME, status: "suspect", incarnation: WALL_MS, by: LONG_NAME } as const;
  const claims = Array.from({ length: CLAIMS_MAX }, () => long);
  const large = { type: "ping-request", seq: 0xffffffff, target: LONG_NAME, claims } as const;
  const bytes = encode({ ...large, incarnation: WALL_MS });
  assert.ok(bytes.length <= MESSAGE_SIZE_MAX, `${bytes.length} bytes`);
  assert.equal(decode(new Uint8Array(MESSAGE_SIZE_MAX + 1), WALL_MS), "member-oversized");
});

test("incarnations of tomorrow's tomorrow are refused, since nobody could answer them", () => {
  const sent = { type: "tell", seq: 0, target: "", claims: [] } as const;
  const [near, far] = [WALL_MS + HOUR_MS, WALL_MS + 25 * HOUR_MS];
  assert.ok(typeof decode(encode({ ...sent, incarnation: near }), WALL_MS) === "object");
  assert.equal(decode(encode({ ...sent, incarnation: far }), WALL_MS), "member-future");
  const claims = [{ name: "a", status: "dead", incarnation: far, by: "" }] as const;
  const told = encode({ ...sent, incarnation: near, claims });
  assert.equal(decode(told, WALL_MS), "member-future");
});

test("what is not exactly a message is refused", () => {
  const good: unknown[] = [1, 0, 1, "", 1, [["a", 1, 1, "b"]]];
  assert.ok(typeof decode(packr.pack(good), WALL_MS) === "object");
  const wrong: unknown[] = [
    null,
    "text",
    { ...good },
    [...good, 1],
    good.with(0, 2),
    good.with(1, 5),
    good.with(1, "length"),
    good.with(2, -1),
    good.with(2, 2 ** 32),
    good.with(3, "a"),
    good.with(1, 1),
    good.with(4, 1.5),
    good.with(5, {}),
    good.with(5, [["a", 1, 1]]),
    good.with(5, [["A", 1, 1, "b"]]),
    good.with(5, [["a", 3, 1, "b"]]),
    good.with(5, [["a", 0, 1, "b"]]),
    good.with(5, [["a", 1, 1, ""]]),
    good.with(5, Array(CLAIMS_MAX + 1).fill(["a", 0, 1, ""])),
  ];
  for (const fields of wrong) {
    const decoded = decode(packr.pack(fields), WALL_MS);
    assert.equal(decoded, "member-malformed", JSON.stringify(fields));
  }
});
