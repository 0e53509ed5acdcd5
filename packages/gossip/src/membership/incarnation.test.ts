import assert from "node:assert/strict";
import { test } from "node:test";
import { nextIncarnation } from "./incarnation.ts";
import { decode, encode } from "./messages.ts";

const WALL_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;

test("each life has a greater number than the last, also when the clock was set back", () => {
  assert.equal(nextIncarnation(null, WALL_MS), WALL_MS);
  assert.equal(nextIncarnation(WALL_MS - 5, WALL_MS), WALL_MS);
  assert.equal(nextIncarnation(WALL_MS, WALL_MS), WALL_MS + 1);
  assert.equal(nextIncarnation(WALL_MS + HOUR_MS, WALL_MS), WALL_MS + HOUR_MS + 1);
});

test("others believe it, whatever the last one was", () => {
  for (const last of [WALL_MS + 11 * HOUR_MS, WALL_MS + 13 * HOUR_MS, 2 ** 52]) {
    const incarnation = nextIncarnation(last, WALL_MS);
    const sent = { type: "tell", seq: 0, target: "", incarnation, claims: [] } as const;
    assert.ok(typeof decode(encode(sent), WALL_MS) === "object", `${last}`);
  }
});
