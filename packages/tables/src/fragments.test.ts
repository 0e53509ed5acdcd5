import assert from "node:assert/strict";
import { test } from "node:test";
import { Fragments } from "./fragments.ts";

function load(fragments: Fragments, identification: number): void {
  fragments.key.fill(0);
  fragments.key[0] = (5 << 8) | 17;
  fragments.key[1] = identification;
  fragments.key[5] = 0x0a000001;
  fragments.key[9] = 0x0a000002;
}

test("recalls the ports of the very packet, for thirty seconds", () => {
  const fragments = new Fragments();
  load(fragments, 1);
  assert.equal(fragments.recall(0), false);
  fragments.remember(0x12345678, 0);
  load(fragments, 2);
  assert.equal(fragments.recall(0), false);
  load(fragments, 1);
  assert.equal(fragments.recall(30_000), true);
  assert.equal(fragments.ports, 0x12345678);
  assert.equal(fragments.recall(30_001), false);
});

test("a later packet with the same identification takes the place of the former", () => {
  const fragments = new Fragments();
  load(fragments, 1);
  fragments.remember(1, 0);
  fragments.remember(2, 10);
  assert.equal(fragments.recall(10), true);
  assert.equal(fragments.ports, 2);
});

test("under pressure the oldest give way and the newest are known", () => {
  const fragments = new Fragments();
  for (let i = 0; i < 10_000; i++) {
    load(fragments, i);
    fragments.remember(i, i);
    assert.equal(fragments.recall(i), true);
  }
  let known = 0;
  for (let i = 9_000; i < 10_000; i++) {
    load(fragments, i);
    if (fragments.recall(10_000)) known++;
  }
  assert.ok(known > 600, `expected most of the newest thousand, got ${known}`);
});
