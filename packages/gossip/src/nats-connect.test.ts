import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const TIMEOUT_MS = 30_000;
const SMOKE = fileURLToPath(new URL("./nats-connect-smoke.ts", import.meta.url));
const DENO = fileURLToPath(new URL("../../../node_modules/.bin/deno", import.meta.url));

for (const [runtime, command] of [
  ["Node", [process.execPath, SMOKE]],
  ["Deno", [DENO, "run", "-A", SMOKE]],
] as const) {
  const title = `a connection whose writes fail is given up, and the process lives on: ${runtime}`;
  test(title, { timeout: 2 * TIMEOUT_MS }, async () => {
    const [program, ...argv] = command;
    const { stdout } = await promisify(execFile)(program, argv, { timeout: TIMEOUT_MS });
    assert.match(stdout, /^alive$/m);
  });
}
