import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("./ending-threads.ts", import.meta.url));

test("a thread may end while its calls into C are being compiled", { timeout: 90_000 }, () => {
  const options = ["--no-warnings", "--experimental-ffi", program];
  const run = spawnSync(process.execPath, options, { encoding: "utf8", timeout: 80_000 });
  assert.equal(run.stderr, "");
  assert.equal(run.stdout, "120 threads ended\n");
});
