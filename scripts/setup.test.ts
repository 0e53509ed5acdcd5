/** The set-up of this checkout when nothing is left to do, and on machines that it cannot serve. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const LIMIT = { timeout: 20_000 };
const folder = mkdtempSync(join(tmpdir(), "rhone-setup-test-"));
after(() => rmSync(folder, { recursive: true }));

/** What setup says when `command` on the PATH prints `output` instead of what it should. */
function setUp(command?: string, output = ""): { status: number | null; said: string } {
  const env = { ...process.env };
  if (command !== undefined) {
    const bin = mkdtempSync(join(folder, "bin-"));
    writeFileSync(join(bin, command), `#!/bin/sh\necho '${output}'\n`);
    chmodSync(join(bin, command), 0o755);
    env["PATH"] = `${bin}:${env["PATH"]}`;
  }
  const script = join(import.meta.dirname, "setup");
  const { status, stdout, stderr } = spawnSync("sh", [script], { env, encoding: "utf8" });
  return { status, said: stdout + stderr };
}

test("a set-up with nothing to do says nothing", LIMIT, () => {
  assert.deepEqual(setUp(), { status: 0, said: "" });
});

test("another processor is refused by name", LIMIT, () => {
  const { status, said } = setUp("uname", "Linux aarch64");
  assert.equal(status, 1);
  assert.match(said, /expected Linux on x86_64, got Linux aarch64/);
});

test("with-runtime becomes its command, on Node 26, and signals reach it", LIMIT, async () => {
  const script = join(import.meta.dirname, "with-runtime");
  const program = "console.log(process.pid, process.versions.node); setInterval(() => {}, 1000)";
  const child = spawn("sh", [script, "node", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await child.stdout.setEncoding("utf8").take(1).toArray();
  assert.match(String(line), new RegExp(`^${child.pid} 26\\.`));
  child.kill("SIGTERM");
  const signal = await new Promise((resolve) => child.on("exit", (_, by) => resolve(by)));
  assert.equal(signal, "SIGTERM");
});
