import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import process from "node:process";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { freePorts, makeDirectory, waitUntil } from "./nats-cluster-fixture.ts";
import { renderConfig } from "./nats-config.ts";
import type { Place } from "./nats-layout.ts";
import { NatsServer, type NatsServerState } from "./nats-server.ts";
import { assertPortIsFree } from "./port-holder.ts";

const SMOKE = fileURLToPath(new URL("three-chassis-smoke.ts", import.meta.url));
const DENO = fileURLToPath(new URL("../../../node_modules/.bin/deno", import.meta.url));

const ALONE: Place = { role: "mesh", routes: [] };
/** No hub listens there. */
const leafPort = 7422;

const directory = makeDirectory();
after(() => rmSync(directory, { recursive: true }));

async function makeServer(name: string, more: { monitorPort?: number } = {}) {
  const [clientPort, clusterPort] = await freePorts(2);
  const ports = { clientPort: clientPort!, clusterPort: clusterPort!, leafPort };
  const options = { name, ...ports, ...more, underlay: "127.0.0.1", place: ALONE, directory };
  return { server: new NatsServer(options), ...ports };
}

function isAlive(pid: number): boolean {
  try {
    // One that has ended and that nobody has asked about yet is in state Z.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

test("starts, runs as nobody, and leaves nothing behind", { timeout: 20_000 }, async () => {
  const { server } = await makeServer("plain");
  const statuses: string[] = [];
  server.onState(({ status }) => {
    if (statuses.at(-1) !== status) statuses.push(status);
  });
  await server.start();
  const pid = server.state.pid!;
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  assert.match(status, /^Name:\tnats-server$/m);
  if (process.getuid?.() === 0) assert.doesNotMatch(status, /^Uid:\s+0/m);
  await server.stop();
  assert.equal(isAlive(pid), false);
  assert.deepEqual(statuses, ["starting", "running", "stopped"]);
  assert.deepEqual(
    readdirSync(directory).filter((file) => file.includes("plain")),
    [],
  );
});

test("a server that is killed is there again in a moment", { timeout: 20_000 }, async () => {
  const { server } = await makeServer("killed");
  const reasons: string[] = [];
  server.onState(({ reason }) => reasons.push(reason));
  try {
    await server.start();
    for (let round = 1; round <= 2; round++) {
      const pid = server.state.pid!;
      process.kill(pid, "SIGKILL");
      await waitUntil("it runs again", 3000, () => isRunningAs(server.state, pid));
      assert.equal(server.state.restartCount, round);
    }
    assert.ok(
      reasons.some((reason) => /ended with signal SIGKILL/.test(reason)),
      `${reasons}`,
    );
  } finally {
    await server.stop();
  }
});

function isRunningAs(state: NatsServerState, oldPid: number): boolean {
  return state.status === "running" && state.pid !== oldPid;
}

test("a server that hangs is replaced", { timeout: 20_000 }, async () => {
  const { server } = await makeServer("hung");
  try {
    await server.start();
    const pid = server.state.pid!;
    process.kill(pid, "SIGSTOP");
    const elapsedMs = await waitUntil("it runs again", 5000, () => isRunningAs(server.state, pid));
    assert.ok(elapsedMs > 750, `${elapsedMs} ms`);
    assert.equal(isAlive(pid), false);
  } finally {
    await server.stop();
  }
});

test("a port that is taken is named, with its holder", { timeout: 20_000 }, async () => {
  for (const which of ["clientPort", "clusterPort"] as const) {
    const { server, ...ports } = await makeServer("taken");
    const holder = createServer().listen(ports[which], "127.0.0.1");
    await once(holder, "listening");
    const expected = `port ${ports[which]} at 127.0.0.1 is taken by process ${process.pid} (`;
    await assert.rejects(server.start(), ({ message }: Error) => message.startsWith(expected));
    assert.equal(server.state.status, "stopped");
    holder.close();
  }
});

test("what the server itself complains about is told", { timeout: 20_000 }, async () => {
  const { server } = await makeServer('bad name"');
  await server.start();
  await server.stop();
  const [clientPort, clusterPort] = await freePorts(2);
  const options = { name: "bad", clientPort: clientPort!, clusterPort: clusterPort!, leafPort };
  const place: Place = { role: "mesh", routes: [{ address: "not an address", port: 1 }] };
  const refused = new NatsServer({ ...options, underlay: "127.0.0.1", place, directory });
  await assert.rejects(refused.start(), /nats-server ended with status 1: .*not an address/);
});

test("a missing program, and how to get it, is told", { timeout: 20_000 }, async () => {
  const { server } = await makeServer("missing");
  process.env["RHONE_NATS_SERVER"] = "/nowhere/nats-server";
  try {
    await assert.rejects(server.start(), /RHONE_NATS_SERVER: expected a program, got "\/nowhere/);
  } finally {
    delete process.env["RHONE_NATS_SERVER"];
  }
});

test("a directory that the server's user cannot reach is named", { timeout: 20_000 }, async () => {
  if (process.getuid?.() !== 0) return;
  const closed = makeDirectory();
  chmodSync(closed, 0o700);
  const [clientPort, clusterPort] = await freePorts(2);
  const ports = { clientPort: clientPort!, clusterPort: clusterPort!, leafPort };
  const options = { name: "closed", ...ports, underlay: "127.0.0.1", place: ALONE };
  const server = new NatsServer({ ...options, directory: closed });
  await assert.rejects(server.start(), /expected everybody to be allowed to pass .* got mode 700/);
  assert.deepEqual(readdirSync(closed), []);
  rmSync(closed, { recursive: true });
});

test("stop during the start ends both", { timeout: 20_000 }, async () => {
  const { server } = await makeServer("stopped");
  const started = assert.rejects(server.start(), /was stopped before/);
  await waitUntil("there is a child", 5000, () => server.state.pid !== null);
  const pid = server.state.pid!;
  await server.stop();
  await started;
  assert.equal(isAlive(pid), false);
});

test("the monitoring port answers", { timeout: 20_000 }, async () => {
  const [, , monitorPort] = await freePorts(3);
  const { server } = await makeServer("monitored", { monitorPort: monitorPort! });
  await server.start();
  try {
    const answer = await fetch(`http://127.0.0.1:${monitorPort}/varz`);
    assert.equal(((await answer.json()) as { server_name: string }).server_name, "monitored");
  } finally {
    await server.stop();
  }
});

test("another role is another child, other routes are not", { timeout: 20_000 }, async () => {
  const [clientPort, clusterPort, leavesAt] = await freePorts(3);
  const server = new NatsServer({
    ...{ name: "mover", clientPort: clientPort!, clusterPort: clusterPort!, leafPort: leavesAt! },
    ...{ underlay: "127.0.0.1", place: ALONE, directory },
  });
  const peer = { address: "127.0.0.1", port: 1 };
  try {
    await server.start();
    const pid = server.state.pid!;
    server.reload({ role: "mesh", routes: [peer] });
    await sleep(300);
    assert.equal(server.state.pid, pid);
    server.reload({ role: "hub", routes: [peer] });
    await waitUntil("the hub runs", 3000, () => isRunningAs(server.state, pid));
    assert.equal(isAlive(pid), false);
    assert.equal(server.state.restartCount, 1);
    await assert.rejects(assertPortIsFree("127.0.0.1", leavesAt!));
    const hub = server.state.pid!;
    server.reload({ role: "hub", routes: [] });
    server.reload({ role: "leaf", hubs: [peer], standIns: [] });
    await waitUntil("the leaf runs", 3000, () => isRunningAs(server.state, hub));
    await assertPortIsFree("127.0.0.1", leavesAt!);
    await assertPortIsFree("127.0.0.1", clusterPort!);
    const leaf = server.state.pid!;
    server.reload({ role: "leaf", hubs: [{ ...peer, port: 2 }, peer], standIns: [peer] });
    await waitUntil("it has other hubs", 3000, () => isRunningAs(server.state, leaf));
    assert.equal(server.state.restartCount, 3);
  } finally {
    await server.stop();
  }
});

test("an IPv6 underlay is written with brackets", () => {
  const place: Place = { role: "mesh", routes: [{ address: "fd00::2", port: 6222 }] };
  const ports = { clientPort: 4222, clusterPort: 6222, leafPort };
  const text = renderConfig({ name: "c1", ...ports, underlay: "fd00::1", place });
  const { cluster } = JSON.parse(text) as { cluster: Record<string, unknown> };
  assert.equal(cluster["advertise"], "[fd00::1]:6222");
  assert.deepEqual(cluster["routes"], ["nats-route://[fd00::2]:6222"]);
});

async function firstLine(child: ChildProcess): Promise<string> {
  let text = "";
  for await (const chunk of child.stdout!) {
    text += String(chunk);
    if (text.includes("\n")) break;
  }
  return text.trim();
}

for (const [runtime, command] of [
  ["Node", [process.execPath, SMOKE, "hold"]],
  ["Deno", [DENO, "run", "-A", SMOKE, "hold"]],
] as const) {
  test(`dies with its parent, even when that is killed: ${runtime}`, {
    timeout: 30_000,
  }, async () => {
    const [program, ...args] = [...command, directory];
    const parent = spawn(program!, args, { stdio: ["ignore", "pipe", "inherit"] });
    const pid = Number(await firstLine(parent));
    try {
      assert.ok(pid > 1 && isAlive(pid), `server ${pid}`);
      // The program that we started may be a launcher; the parent is whose child the server is.
      const parentPid = Number(
        /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1],
      );
      process.kill(parentPid, "SIGKILL");
      await waitUntil("the server is gone", 2000, () => !isAlive(pid));
    } finally {
      parent.kill("SIGKILL");
      if (pid > 1 && isAlive(pid)) process.kill(pid, "SIGKILL");
    }
    assert.equal(existsSync(`/proc/${pid}/exe`), false);
  });
}
