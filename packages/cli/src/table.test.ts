import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTable } from "./table.ts";

test("columns are as wide as their widest cell", () => {
  assert.equal(
    formatTable([
      ["name", "status"],
      ["a", ""],
      ["router1", "up"],
    ]),
    "name     status\na\nrouter1  up",
  );
});

test("text that would steer the terminal is spelled out", () => {
  const hostile = "\u001b[2J\nmore\u009b\ud800";
  assert.equal(formatTable([["x", hostile]]), "x  \\u001b[2J\\u000amore\\u009b\\ud800");
});
