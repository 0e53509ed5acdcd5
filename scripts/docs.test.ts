/**
 * What the documents tell readers to type, typed. Every block of shell commands says in a comment
 * right above it what becomes of it here: "test: lab" runs it beside the lab of the README, "not
 * run:" gives the reason why not. "test: lab file" above YAML checks the file by building its lab.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type RunningLab, startLab } from "../packages/cli/src/lab.ts";
import { parseLab, readLabFile } from "../packages/cli/src/lab-file.ts";
import { lineAt, listFiles } from "./tidy/source.ts";

const BLOCK_TIMEOUT_MS = 40_000;
const root = join(import.meta.dirname, "..");

interface Block {
  /** File and line. */
  readonly at: string;
  readonly language: string;
  /** What the comment above says; "" if there is none. */
  readonly fate: string;
  readonly text: string;
}

/** The fenced blocks of a Markdown text, with the comment on the line above each. */
function blocksOf(path: string, markdown: string): Block[] {
  const pattern = /(?:^<!-- (.*?) -->\n)?^```(\w*)\n([\s\S]*?)^```$/gm;
  return [...markdown.matchAll(pattern)].map((match) => {
    const [, fate = "", language, text] = match;
    const at = `${path}:${lineAt(markdown, match.index)}`;
    return { at, fate, language: language!, text: text! };
  });
}

const blocks = listFiles(root)
  .filter((path) => path.endsWith(".md"))
  .flatMap((path) => blocksOf(path, readFileSync(join(root, path), "utf8")));

let lab: RunningLab | null = null;

before(async () => {
  const file = readLabFile(join(root, "labs/web-db.yaml"));
  lab = await startLab({ lab: file, prefix: `rhone-docs${process.pid}`, restPort: 0 });
});
after(() => lab?.down());

/** The commands as they would be for this lab, which has names and ports of its own. */
function forThisLab(text: string, { prefix, chassis }: RunningLab): string {
  return text
    .replaceAll("rhone-web-db-", `${prefix}-`)
    .replaceAll(/http:\/\/127\.0\.0\.1:710([1-3])/g, (_, number) => chassis[number - 1]!.url);
}

/** Runs commands as a reader's shell would, but stops at the first that fails. */
function run(commands: string, server: string): Promise<{ status: number | null; output: string }> {
  const shell = spawn("sh", ["-euc", commands], {
    cwd: root,
    env: { ...process.env, RHONE_SERVER: server },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true, // A group of its own, so that nothing in the background outlives the block.
  });
  let output = "";
  for (const stream of [shell.stdout, shell.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const kill = () => process.kill(-shell.pid!, "SIGKILL");
  const timer = setTimeout(kill, BLOCK_TIMEOUT_MS);
  return new Promise((resolve, reject) => {
    shell.on("error", reject);
    shell.on("close", (status) => {
      clearTimeout(timer);
      resolve({ status, output });
    });
  });
}

test("every block of shell commands says whether it is tested", () => {
  const silent = blocks.filter(({ language, fate }) => {
    return language === "sh" && !/^(?:test: lab|not run: .+)$/.test(fate);
  });
  assert.deepEqual(
    silent.map(({ at }) => at),
    [],
  );
});

for (const { at, text } of blocks.filter(({ fate }) => fate === "test: lab")) {
  test(`the commands of ${at} work`, async (context) => {
    assert.ok(lab);
    const { status, output } = await run(forThisLab(text, lab), lab.chassis[0]!.url);
    assert.equal(status, 0, output);
    if (text.includes("tshark"))
      assert.match(output, /192\.168\.100\.3,10\.0\.2\.10\s\w+\s0xfff7\s0x81/);
    for (const [figures] of output.matchAll(/.*receiver$/gm)) context.diagnostic(figures);
    if (text.includes("/v1/acls/")) {
      const received = [...output.matchAll(/(\d) received/g)].map(([, count]) => Number(count));
      const isByLabels = text.includes("sourceLabels");
      assert.deepEqual(received, isByLabels ? [2, 0] : [0, 0, 2], output);
      assert.match(output, isByLabels ? /^\d+ +app=web +vm1/m : /"hits":2\b[\s\S]*unreachable/i);
    }
    if (text.includes("10.0.1.999")) assert.match(output, /"pointer":"\/addresses\/0"/);
  });
}

for (const { at, text } of blocks.filter(({ fate }) => fate === "test: lab file")) {
  test(`the lab file of ${at} comes up, and its workloads reach each other`, async () => {
    const prefix = `rhone-docs-file${process.pid}`;
    const own = await startLab({ lab: parseLab(text, at), prefix, restPort: 0 });
    try {
      const ping = `ip netns exec ${own.namespaceOf("client")} ping -c 2 10.2.0.10`;
      const { status, output } = await run(ping, own.chassis[0]!.url);
      assert.equal(status, 0, output);
    } finally {
      await own.down();
    }
  });
}

test("a chassis serves the web page that the README speaks of", async () => {
  const response = await fetch(lab!.chassis[0]!.url);
  assert.equal(response.status, 200);
  assert.match(await response.text(), /<title>Rhône<\/title>/);
});

test("the README shows the workloads as they are", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  for (const { name, addresses } of lab!.lab.workloads) {
    const texts = addresses.map(({ address }) => address).join(" ");
    assert.match(readme, new RegExp(`^${name} .* ${texts} +rhone-web-db-${name}$`, "m"));
  }
});
