/** What the tools of the repository say to options that mean nothing: how it would be right. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const LIMIT = { timeout: 120_000 };
const TOOLS = {
  bench: "bench/src/main.ts",
  faults: "packages/testbed/src/faults/main.ts",
  fuzz: "packages/testbed/src/virtual/fuzz.ts",
  sim: "packages/gossip/src/simulation/main.ts",
};
type Tool = keyof typeof TOOLS;

function run(tool: Tool, options: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [TOOLS[tool], ...options], {
    ...{ cwd: ROOT, encoding: "utf8" },
  });
  return { status, stdout, stderr };
}

for (const tool of Object.keys(TOOLS) as Tool[]) {
  test(`${tool} --help says what there is, and does nothing`, LIMIT, () => {
    const { status, stdout } = run(tool, ["--help"]);
    assert.equal(status, 0);
    assert.match(stdout, new RegExp(`^Usage: npm run ${tool} -- `));
  });
}

const WRONG: readonly (readonly [Tool, readonly string[], RegExp])[] = [
  ["bench", ["--runtime", "bun"], /expected --runtime node or deno, got bun/],
  ["faults", ["--only", "3,99"], /--only: expected some of 0, 1, .*, got "99"/],
  ["faults", ["--split", "a"], /--split: expected a number from 1 on, got "a"/],
  ["faults", ["--runtime", "bun"], /--runtime: expected node or deno, got "bun"/],
  ["fuzz", ["--minutes", "abc"], /--minutes: expected a number from 0.001 on, got "abc"/],
  ["fuzz", ["--seed", ""], /--seed: expected a number from 0 on, got ""/],
  ["sim", ["--chassis", "1"], /--chassis: expected 2 to 1000, .*, got "1"/],
  ["sim", ["--faults", "fire"], /--faults: expected partition, .*, got "fire"/],
  ["sim", ["--nonsense"], /'--nonsense'/],
];

for (const [tool, options, message] of WRONG) {
  test(`${tool} ${options.join(" ")} is refused`, LIMIT, () => {
    const { status, stderr } = run(tool, options);
    assert.equal(status, 2, stderr);
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /\n {4}at /, "no stack");
  });
}
