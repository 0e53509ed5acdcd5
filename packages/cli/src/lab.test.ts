/** Labs as a user runs them: every way to run a chassis, every way to end. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CheckReport } from "./check.ts";
import { EXAMPLE, rhone, startLabProcess } from "./command-fixture.ts";
import { startLab } from "./lab.ts";
import { readLabFile } from "./lab-file.ts";
import { namespaceNames, runIn } from "./namespaces.ts";
import { cleanUp } from "./reaper.ts";
import { runOrThrow } from "./run.ts";
import { claimRunDirectory, runDirectory } from "./run-directory.ts";

const LIMIT = { timeout: 60_000 };

function prefixOf(name: string): string {
  return `rhone-t${process.pid}-${name}`;
}

/** Process ids of all that run in a lab's namespaces. */
async function processesOf(namespaces: readonly string[]): Promise<string[]> {
  const listed = await Promise.all(
    namespaces.map((namespace) => runOrThrow(["ip", "netns", "pids", namespace])),
  );
  return listed.flatMap((text) => text.split("\n")).filter((pid) => pid !== "");
}

/** What is left of a lab: namespaces, files, processes. */
async function remains(prefix: string, processes: readonly string[]): Promise<string[]> {
  const namespaces = (await runOrThrow(["ip", "netns", "list"])).split("\n");
  return [
    ...namespaces.filter((line) => line.startsWith(`${prefix}-`)),
    ...processes.filter((pid) => existsSync(`/proc/${pid}`)).map((pid) => `process ${pid}`),
    ...(existsSync(runDirectory(prefix)) ? [runDirectory(prefix)] : []),
  ];
}

const WAYS = [
  ["--runtime", "node", "--driver", "af-packet", "--workers", "2"],
  ["--runtime", "node", "--driver", "af-xdp", "--workers", "1"],
  ["--runtime", "deno", "--driver", "af-packet", "--workers", "1"],
  ["--runtime", "deno", "--driver", "af-xdp", "--workers", "2"],
];

for (const way of WAYS) {
  const title = way.filter((_, i) => i % 2 === 1).join(", ");
  test(`every path works and nothing is left: ${title}`, LIMIT, async () => {
    const prefix = prefixOf("way");
    const argv = ["--prefix", prefix, "--rest-port", "0", "--check", "--once", "--json", ...way];
    const { code, stdout, stderr } = await rhone("lab", "up", EXAMPLE, ...argv);
    assert.equal(stderr, "");
    const report: CheckReport = JSON.parse(stdout.trim().split("\n")[1]!);
    assert.deepEqual(
      report.findings.filter(({ ok }) => !ok),
      [],
    );
    assert.equal(report.findings.filter(({ group }) => group === "pair").length, 20 * 6);
    assert.equal(report.findings.filter(({ group }) => group === "spoofed").length, 6);
    assert.equal(code, 0);
    assert.deepEqual(await remains(prefix, []), []);
  });
}

test("SIGTERM ends a lab in order", LIMIT, async () => {
  const prefix = prefixOf("term");
  const lab = await startLabProcess(prefix);
  const processes = await processesOf(lab.up.chassis.map(({ namespace }) => namespace));
  assert.equal(processes.length, 2 * 3, "a chassis and its nats-server each");
  assert.equal(await lab.end("SIGTERM"), 0);
  assert.deepEqual(await remains(prefix, processes), []);
});

test("a lab killed by SIGKILL leaves nothing behind", LIMIT, async () => {
  const prefix = prefixOf("kill");
  const lab = await startLabProcess(prefix);
  const processes = await processesOf(lab.up.chassis.map(({ namespace }) => namespace));
  await lab.end("SIGKILL");
  const deadline = performance.now() + 10_000;
  let left = await remains(prefix, processes);
  while (left.length > 0 && performance.now() < deadline) {
    await sleep(50);
    left = await remains(prefix, processes);
  }
  assert.deepEqual(left, []);
});

test("what a dead lab left is cleaned up by the next of its name", LIMIT, async () => {
  const lab = readLabFile(EXAMPLE);
  const prefix = prefixOf("dead");
  const namespaces = namespaceNames(lab, prefix);
  // As if the machine had lost lab and watcher: a claim by a process that is no more.
  const module = JSON.stringify(import.meta.resolve("./run-directory.ts"));
  const claim = `import { claimRunDirectory } from ${module};
    claimRunDirectory("web-db", ${JSON.stringify(prefix)}, ${JSON.stringify(namespaces)});`;
  await runOrThrow([process.execPath, "--input-type=module", "-e", claim]);
  await runOrThrow(["ip", "netns", "add", namespaces[1]!]);
  const events: string[] = [];
  const running = await startLab({ lab, prefix, onEvent: (text) => events.push(text) });
  await running.down();
  assert.match(events.join(), /removing what a killed lab web-db \(process \d+\) left/);
  assert.deepEqual(await remains(prefix, []), []);
});

test("a prefix in use is refused by naming its owner", LIMIT, async () => {
  const lab = readLabFile(EXAMPLE);
  const prefix = prefixOf("used");
  const namespaces = namespaceNames(lab, prefix);
  assert.ok(claimRunDirectory(lab.name, prefix, namespaces));
  try {
    const { code, stderr } = await rhone("lab", "up", EXAMPLE, "--prefix", prefix);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`lab web-db of process ${process.pid} .* --prefix`));
  } finally {
    await cleanUp({ prefix, namespaces });
  }
});

test(
  "a killed chassis comes back and forwards again; a second lab runs beside",
  LIMIT,
  async () => {
    const lab = readLabFile(EXAMPLE);
    const events: string[] = [];
    const running = await startLab({
      ...{ lab, prefix: prefixOf("first") },
      onEvent: (text) => events.push(text),
    });
    const second = await startLab({ lab, prefix: prefixOf("second"), workers: 1 }).catch((error) =>
      running.down().then(() => Promise.reject(error)),
    );
    try {
      const victim = running.chassis[1]!.process;
      const before = victim.pid;
      victim.kill("SIGKILL");
      while (victim.pid === before) await sleep(10);
      await sleep(600);
      await victim.ready();
      await running.settled();
      assert.notEqual(victim.pid, before);
      assert.match(events.join(), /chassis b ended \(SIGKILL\) and is started again/);
      for (const { namespaceOf } of [running, second]) {
        const ping = ["ping", "-q", "-c", "2", "-i", "0.25", "-W", "1", "10.0.1.12"];
        const { stdout } = await runIn(namespaceOf("vm1"), ping);
        assert.match(stdout, / 2 received/);
      }
    } finally {
      await Promise.all([running.down(), second.down()]);
    }
    assert.deepEqual(await remains(prefixOf("first"), []), []);
    assert.deepEqual(await remains(prefixOf("second"), []), []);
  },
);
