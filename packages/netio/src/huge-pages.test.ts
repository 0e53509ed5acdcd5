import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { wantHugePages } from "./huge-pages.ts";

const MEGABYTE = 1024 * 1024;
const mode = "/sys/kernel/mm/transparent_hugepage/enabled";

test("large memory is asked for in huge pages, and works as before", () => {
  const buffer = new SharedArrayBuffer(16 * MEGABYTE);
  const isPossible = !readFileSync(mode, "utf8").includes("[never]");
  assert.equal(wantHugePages(buffer), isPossible);
  const words = new Int32Array(buffer).fill(7);
  assert.equal(words[4 * MEGABYTE - 1], 7);
});

test("memory without a whole huge page is left alone", () => {
  assert.equal(wantHugePages(new SharedArrayBuffer(MEGABYTE)), false);
});
