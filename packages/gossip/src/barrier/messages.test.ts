import assert from "node:assert/strict";
import { test } from "node:test";
import { Packr } from "msgpackr/pack";
import { type BarrierMessage, decode, encode } from "./messages.ts";

const ROOT = "0123456789abcdef";
const MESSAGES: readonly BarrierMessage[] = [
  { type: "ask", clock: 2 ** 40, revision: 2 ** 40, root: ROOT },
  { type: "held", clock: 0, root: "" },
  { type: "held", clock: 7, root: ROOT },
  { type: "begin", clock: 7, root: "" },
  { type: "begin", clock: 2 ** 40, root: ROOT },
  { type: "wait", clock: 7 },
];

test("what is encoded is decoded, and no part of it is", () => {
  for (const message of MESSAGES) {
    const data = encode(message);
    assert.deepEqual(decode(data), message);
    assert.ok(data.length <= 40, `${data.length} bytes`);
    for (let size = 0; size < data.length; size++) {
      assert.equal(decode(data.subarray(0, size)), null);
    }
  }
});

test("what a newer chassis adds is left out, and nonsense is no message", () => {
  const packr = new Packr({ useRecords: false });
  assert.deepEqual(decode(packr.pack([3, 7, ROOT, "more"])), {
    ...{ type: "begin", clock: 7, root: ROOT },
  });
  for (const fields of [
    ...[{}, [], 3, null, [5, 1, 1], [1, 1, 1, "0123"], [1, 1, -1, ROOT], [1, 1, 1, ""]],
    ...[[2, 1], [2, 1.5, ROOT], [3, -1, ""], [3, 1, "no root"], [3, 1], [3], [4], [4, "1"]],
    [3, 1, "0".repeat(300)],
  ]) {
    assert.equal(decode(packr.pack(fields)), null, JSON.stringify(fields));
  }
});
