import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decode, ENTRIES_MAX, encode, type Heartbeat, STANCES } from "./messages.ts";

const PLAIN = { noNullPrototype: true } as const;
const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const grant = fc.record({ to: name, incarnation: count, seq: count, epoch: count }, PLAIN);
const stance = fc.constantFrom(...STANCES);
const entry = fc.record(
  { gateway: name, stance, epoch: count, epochMax: count, grant: fc.option(grant) },
  PLAIN,
);
const entries = fc.array(entry, { maxLength: ENTRIES_MAX });

test("what is encoded is decoded to the same", () => {
  const heartbeats = fc.record({ incarnation: count, seq: count, entries }, PLAIN);
  fc.assert(
    fc.property(heartbeats, (heartbeat: Heartbeat) => {
      assert.deepEqual(decode(encode(heartbeat)), heartbeat);
    }),
  );
});

test("what is cut off, or is something else, is no heartbeat", () => {
  const whole = encode({
    ...{ incarnation: 7, seq: 9 },
    entries: [
      {
        ...{ gateway: "g", stance: "asks", epoch: 3, epochMax: 2 },
        grant: { to: "a", incarnation: 7, seq: 8, epoch: 3 },
      },
    ],
  });
  for (let size = 0; size < whole.length; size++) assert.equal(decode(whole.slice(0, size)), null);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (data) => void decode(data)));
  const later = Uint8Array.from(whole);
  later[1] = 2; // The version.
  assert.equal(decode(later), null);
});
