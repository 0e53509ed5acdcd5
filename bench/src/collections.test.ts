import assert from "node:assert/strict";
import { test } from "node:test";
import { inlineMore } from "@rhone/dataplane-worker/inlining";
import { measureThreads } from "./memory-threads.ts";

const PACKETS = 10_000_000;
/**
 * Until the functions are compiled, which other work on the machine delays, they allocate; what
 * allocates for a packet does so every time.
 */
const WARM_UPS_MS = [3000, 6000, 12_000];
const LIMIT = { timeout: 300_000 };

test("ten million packets of each of two workers cause no garbage collection", LIMIT, async () => {
  inlineMore();
  const tries: string[] = [];
  for (const warmUpMs of WARM_UPS_MS) {
    const span = { warmUpMs, measured: { packets: PACKETS } };
    const all = await measureThreads(2, "half", span);
    for (const { sent, slotsLost } of all) {
      assert.ok(sent >= PACKETS);
      assert.equal(slotsLost, 0);
    }
    tries.push(JSON.stringify(all));
    if (all.every(({ collections }) => collections === 0)) return;
  }
  assert.fail(`expected no collection, got ${tries.join(", then ")}`);
});
