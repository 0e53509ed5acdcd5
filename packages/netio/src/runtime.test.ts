import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

/** Test files that Deno runs as well. */
const TESTS = ["tap.test.ts", "tap-queues.test.ts"];
const script = fileURLToPath(new URL("./socket-smoke.ts", import.meta.url));
const deno = fileURLToPath(new URL("../../../node_modules/.bin/deno", import.meta.url));

describe("every kind of port", { timeout: 60_000 }, () => {
  const runtimes: readonly (readonly [string, string, readonly string[]])[] = [
    ["Node", process.execPath, []],
    ["Deno", deno, ["run", "-A", "--no-lock"]],
  ];
  for (const [name, program, options] of runtimes) {
    test(`works under ${name}`, { skip: existsSync(program) ? false : "not installed" }, () => {
      const run = spawnSync(program, [...options, script], { encoding: "utf8", timeout: 25_000 });
      assert.equal(run.status, 0, run.stderr);
      assert.match(run.stdout, /^ok$/m);
    });
  }
});

test("queues of TAP devices work under Deno as well", {
  ...{ timeout: 60_000, skip: existsSync(deno) ? false : "not installed" },
}, () => {
  const files = TESTS.map((name) => fileURLToPath(new URL(name, import.meta.url)));
  const argv = ["test", "-A", "--no-lock", "--no-check", ...files];
  const run = spawnSync(deno, argv, {
    ...{ encoding: "utf8", timeout: 50_000, env: { ...process.env, NO_COLOR: "1" } },
  });
  assert.equal(run.status, 0, run.stdout + run.stderr);
  assert.match(run.stdout, /^ok \| [1-9]\d* passed .* 0 failed/m);
});
