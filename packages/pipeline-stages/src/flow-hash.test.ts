import assert from "node:assert/strict";
import { test } from "node:test";
import { bucketOf } from "@rhone/rings/buckets";
import { createConnections, installConnections } from "@rhone/tables/connection-memory";

const SEED = 0x5eed5eed;
const UDP = 17;
const ADDRESSES = 0x0a00010a;
installConnections(createConnections(1024, SEED));
const { flowHash, mix } = await import("./flow-hash.ts");

test("both directions of a flow have one hash", () => {
  for (let port = 0; port < 1000; port++) {
    const hash = flowHash(ADDRESSES, UDP, port, 53);
    assert.equal(hash, flowHash(ADDRESSES, UDP, 53, port));
  }
});

test("flows that were made up for one bucket spread when the seed is another", () => {
  const buckets = new Set<number>();
  for (let port = 0; port < 65_536; port++) {
    // As the hash is with the seed 0, which somebody may guess.
    const guessed = mix(mix(ADDRESSES ^ UDP) ^ (mix(port) + mix(53)));
    if (bucketOf(guessed) === 7) buckets.add(bucketOf(flowHash(ADDRESSES, UDP, port, 53)));
  }
  assert.ok(buckets.size > 128, `${buckets.size} buckets`);
});
