import assert from "node:assert/strict";
import { test } from "node:test";
import { RecentRoots } from "./recent-roots.ts";

test("knows the present root for ever, and those before it for two seconds", () => {
  let nowMs = 0;
  const roots = new RecentRoots("a", () => nowMs);
  nowMs = 60_000;
  assert.ok(roots.has("a"));
  for (const root of ["b", "b", "c"]) roots.add(root);
  nowMs += 2000;
  for (const root of ["a", "b", "c"]) assert.ok(roots.has(root), root);
  nowMs += 1;
  assert.deepEqual([roots.has("a"), roots.has("b"), roots.has("c")], [false, false, true]);
  assert.equal(roots.has("d"), false);
});

test("a root that comes back counts from when it was left last", () => {
  let nowMs = 0;
  const roots = new RecentRoots("a", () => nowMs);
  roots.add("b");
  nowMs = 1500;
  roots.add("a");
  roots.add("c");
  nowMs = 3000;
  assert.ok(roots.has("a"));
});

test("remembers a thousand at most", () => {
  const roots = new RecentRoots("0", () => 0);
  for (let i = 1; i <= 5000; i++) roots.add(String(i));
  const known = Array.from({ length: 5001 }, (_, i) => String(i)).filter((root) => roots.has(root));
  assert.equal(known.length, 1025);
  assert.equal(known[0], "3976");
});
