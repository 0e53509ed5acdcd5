import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { NatsCluster, waitUntil } from "./nats-cluster-fixture.ts";
import { NatsTransport } from "./nats-transport.ts";

const SMOKE = fileURLToPath(new URL("three-chassis-smoke.ts", import.meta.url));
const DENO = fileURLToPath(new URL("../../../node_modules/.bin/deno", import.meta.url));
const options = { timeout: 60_000 };

async function withCluster(
  startedCount: number,
  run: (cluster: NatsCluster) => Promise<void>,
): Promise<void> {
  const cluster = new NatsCluster();
  try {
    await cluster.start(3, startedCount);
    await cluster.connected(10_000);
    await run(cluster);
  } finally {
    await cluster.stop();
  }
}

function kill(cluster: NatsCluster, index: number, signal: NodeJS.Signals = "SIGKILL"): number {
  const pid = cluster.chassis[index]!.server.state.pid!;
  process.kill(pid, signal);
  return pid;
}

test("a change at any of three reaches all", options, async (t) => {
  await withCluster(3, async (cluster) => {
    for (let i = 0; i < 3; i++) {
      cluster.put(i, `s${i}`);
      t.diagnostic(`${(await cluster.converged(i + 1, 5000)).toFixed(1)} ms`);
    }
    for (const { replicator } of cluster.chassis) {
      assert.equal(replicator.counters.malformed, 0);
      assert.equal(replicator.counters.fromNamesake, 0);
    }
  });
});

test("changes while a server is killed arrive after its return", options, async (t) => {
  await withCluster(3, async (cluster) => {
    kill(cluster, 1);
    for (let i = 0; i < 10; i++) cluster.put(i % 3, `s${i}`);
    t.diagnostic(`one killed: ${(await cluster.converged(10, 10_000)).toFixed(0)} ms`);
    for (let i = 0; i < 3; i++) kill(cluster, i);
    for (let i = 10; i < 20; i++) cluster.put(i % 3, `s${i}`);
    t.diagnostic(`all killed: ${(await cluster.converged(20, 10_000)).toFixed(0)} ms`);
    await cluster.connected(5000);
  });
});

test("changes while a server hangs arrive after its replacement", options, async (t) => {
  await withCluster(3, async (cluster) => {
    const hung = kill(cluster, 2, "SIGSTOP");
    cluster.put(2, "here");
    cluster.put(0, "there");
    t.diagnostic(`${(await cluster.converged(2, 15_000)).toFixed(0)} ms`);
    assert.notEqual(cluster.chassis[2]!.server.state.pid, hung);
  });
});

test("a late joiner gets everything", options, async (t) => {
  await withCluster(2, async (cluster) => {
    for (let i = 0; i < 50; i++) cluster.put(i & 1, `s${i}`);
    await cluster.converged(50, 5000);
    await cluster.add(2);
    t.diagnostic(`${(await cluster.converged(50, 5000)).toFixed(0)} ms`);
    await cluster.connected(5000);
  });
});

test("malformed messages are counted and do no harm", options, async () => {
  await withCluster(3, async (cluster) => {
    const { transport } = cluster.chassis[0]!;
    transport.publish("rhone.o.c1.d", new Uint8Array([0xc1]));
    transport.publish("rhone.o.c1.h", new Uint8Array());
    transport.publish("rhone.sync", new Uint8Array(100_000));
    const [, second, third] = cluster.chassis.map(({ replicator }) => replicator);
    await waitUntil("both have counted", 5000, () =>
      [second!, third!].every(({ counters }) => counters.malformed === 3),
    );
    cluster.put(0, "web");
    await cluster.converged(1, 5000);
  });
});

test("the transport answers, refuses and drops as promised", options, async () => {
  await withCluster(2, async (cluster) => {
    const [one, two] = cluster.chassis.map(({ nats }) => nats);
    const end = two!.subscribe("test.echo", (data, respond) => respond(data));
    const data = new Uint8Array([1, 2, 3]);
    let answer = new Uint8Array();
    for (let i = 0; i < 100 && answer.length === 0; i++) {
      answer = new Uint8Array(await one!.request("test.echo", data, 1000).catch(() => answer));
      await sleep(10);
    }
    assert.deepEqual(answer, data);
    end();
    await assert.rejects(one!.request("test.nobody", data, 500));
    const before = one!.droppedCount;
    one!.publish("test.echo", new Uint8Array(1024 * 1024 + 1));
    assert.equal(one!.droppedCount, before + 1);
  });
});

test("a transport without a server waits, drops, and closes", options, async () => {
  const transport = new NatsTransport({ name: "lonely", port: 1 });
  transport.subscribe("x", () => {});
  transport.publish("x", new Uint8Array());
  assert.equal(transport.isConnected, false);
  assert.equal(transport.droppedCount, 1);
  await assert.rejects(transport.request("x", new Uint8Array(), 100), /no connection .* port 1/);
  await sleep(150);
  await transport.close();
});

test("three chassis agree under Deno, too", options, async (t) => {
  const { stdout } = await promisify(execFile)(DENO, ["run", "-A", SMOKE], { timeout: 40_000 });
  t.diagnostic(stdout.trim());
  assert.ok(JSON.parse(stdout).repairMs > 0);
});
