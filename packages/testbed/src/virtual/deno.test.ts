/** The product agrees with the golden router on Deno, too. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const TIMEOUT_MS = 150_000;

test("random networks and packets on Deno", { timeout: TIMEOUT_MS }, () => {
  const deno = fileURLToPath(import.meta.resolve("../../../../node_modules/.bin/deno"));
  const fuzz = fileURLToPath(import.meta.resolve("./fuzz.ts"));
  const argv = ["run", "-A", "--no-check", fuzz, "--minutes", "0.01", "--seed", "1"];
  const { status, stdout, stderr } = spawnSync(deno, argv, { encoding: "utf8" });
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /^fuzz: \d+ cases from seed 1 on, \d+ a second, all agree$/m);
});
