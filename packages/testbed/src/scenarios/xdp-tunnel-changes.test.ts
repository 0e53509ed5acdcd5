/** What changes under a tunnel over AF_XDP while packets go through, and what lives beside it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { succeeded } from "@rhone/cli/rest-client";
import { runOrThrow } from "@rhone/cli/run";
import { runtimeCommand } from "@rhone/cli/runtime";
import { withCapture } from "../capture.ts";
import {
  assertNoSlotIsLost,
  chassisOf,
  datagramsOf,
  whenDirect,
  whenTunnelIs,
} from "../direct-tunnel.ts";
import { socketLosses, withFlows } from "../flows.ts";
import { type LabFixture, useLab, useWorkerKiller } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { TUNNEL_FILTER } from "../tunnel.ts";

const LIMIT = { timeout: 60_000 };
/** Until a worker that was ended is noticed and replaced. */
const DEATH_MS = 1000;
const BOTH = ["a", "b"] as const;
const VM2 = "10.0.1.11";
const NEW_MAC = "02:00:00:00:77:02";
const ports = [
  { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
  { name: "vm2", switch: "s", chassis: "b", addresses: [VM2] },
];
const LOAD = { from: "vm1", to: [VM2], flows: 100, rate: 1000 };

function inside(fixture: LabFixture, name: "a" | "b", ...argv: string[]): Promise<string> {
  return runOrThrow(["ip", "netns", "exec", chassisOf(fixture, name).namespace, ...argv]);
}

/** Resolves when that many workers run. */
async function scale(fixture: LabFixture, name: "a" | "b", workers: number): Promise<void> {
  const path = `/v1/chassis/${name}/dataplane?wait=applied&timeout=20000`;
  const options = { body: { workers }, timeoutMs: 30_000 };
  succeeded(await chassisOf(fixture, name).client.request("PUT", path, options));
}

/** Pings pass, not by the sockets of either chassis, and no slot is missing afterwards. */
async function assertGoesDirect(fixture: LabFixture): Promise<void> {
  const datagrams = () => Promise.all(BOTH.map((name) => datagramsOf(fixture, name)));
  const before = await datagrams();
  const ping = ["ping", "-c", "5", "-i", "0.2", "-W", "2", VM2];
  const { code, stdout } = await fixture.run("vm1", ...ping);
  assert.equal(code, 0, stdout);
  assert.deepEqual(await datagrams(), before);
  await assertNoSlotIsLost(fixture);
}

useWorkerKiller();

describe("a tunnel over AF_XDP and IPv4", () => {
  const lab = labOf({ name: "xdp-changes", chassis: ["a", "b"], ports });
  const fixture = useLab("xdp-changes", { lab, workers: 2, tunnelDriver: "af-xdp" });

  test("follows a neighbour that gets another MAC address under traffic", LIMIT, async () => {
    for (const workload of ["vm1", "vm2"]) await fixture.agent(workload);
    await whenDirect(fixture, BOTH);
    const report = await withFlows(fixture, LOAD, async () => {
      await sleep(500);
      await inside(fixture, "b", "ip", "link", "set", "underlay", "address", NEW_MAC);
      await sleep(1500);
      const fromA = `src 192.168.100.1 and ${TUNNEL_FILTER}`;
      const underlay = { namespace: fixture.running.namespaceOf("underlay"), device: "bridge" };
      await withCapture(
        { ...underlay, filter: fromA },
        () => sleep(200),
        async (capture) => {
          const targets = new Set(
            (await capture.rows(["eth.dst"])).map(([to]) => to!.split(",")[0]),
          );
          assert.deepEqual([...targets], [NEW_MAC]);
        },
      );
    });
    const told = JSON.stringify(report);
    assert.equal(report.tcp[0]!.failure, "", told);
    assert.equal(report.reordered, 0, told);
    assert.ok(report.received > report.sent * 0.7, told);
  });

  test("loses nothing while its queue moves between workers", LIMIT, async () => {
    for (const workload of ["vm1", "vm2"]) await fixture.agent(workload);
    await whenDirect(fixture, BOTH);
    const before = await socketLosses(fixture, ["vm1", "vm2"]);
    const report = await withFlows(fixture, LOAD, async () => {
      await sleep(500);
      for (const workers of [3, 1, 2]) {
        for (const name of BOTH) {
          await scale(fixture, name, workers);
        }
        await sleep(300);
      }
    });
    const missed = (await socketLosses(fixture, ["vm1", "vm2"])) - before;
    const told = JSON.stringify({ ...report, missed });
    assert.equal(report.received + missed, report.sent, told);
    assert.equal(report.reordered, 0, told);
    assert.equal(report.tcp[0]!.failure, "", told);
    await assertNoSlotIsLost(fixture);
  });

  test("comes back after its device was down", LIMIT, async () => {
    await inside(fixture, "a", "ip", "link", "set", "underlay", "down");
    await whenTunnelIs(fixture, "a", /^0 of 1 queues/);
    await inside(fixture, "a", "ip", "link", "set", "underlay", "up");
    // By the sockets, until the kernel has found the neighbour again.
    await fixture.run("vm1", "ping", "-c", "10", "-i", "0.2", VM2);
    await whenDirect(fixture, BOTH);
    await assertGoesDirect(fixture);
  });

  for (const workers of [1, 2]) {
    const who = workers === 1 ? "the only worker, which has its queue," : "one of two workers";
    test(`goes on when ${who} dies`, LIMIT, async () => {
      for (const workload of ["vm1", "vm2"]) await fixture.agent(workload);
      await scale(fixture, "a", workers);
      const report = await withFlows(fixture, LOAD, async () => {
        await sleep(500);
        chassisOf(fixture, "a").kill("SIGUSR2");
        await sleep(DEATH_MS);
        await scale(fixture, "a", workers);
        await whenDirect(fixture, BOTH);
        await sleep(500);
      });
      assert.ok(report.received > report.sent * 0.5, JSON.stringify(report));
      await assertGoesDirect(fixture);
    });
  }

  test("goes on after its chassis was started again", LIMIT, async () => {
    const chassis = chassisOf(fixture, "b");
    await chassis.stop();
    chassis.start();
    await chassis.ready();
    await whenDirect(fixture, BOTH);
    await assertGoesDirect(fixture);
  });

  test("leaves TCP, ARP and ping of the hosts to the kernel", LIMIT, async () => {
    const server = `
      const server = require("node:net").createServer((socket) => socket.pipe(socket));
      server.listen(7022, "192.168.100.2", () => console.log("listening"));
      process.stdin.resume().once("end", () => process.exit(0));
    `;
    const client = `
      const socket = require("node:net").connect(7022, "192.168.100.2");
      let bytes = 0;
      socket.on("data", (data) => { bytes += data.length; if (bytes === 4e6) socket.end(); });
      socket.on("close", () => { console.log(bytes); process.exit(0); });
      socket.write(Buffer.alloc(4e6, 7));
    `;
    const [node] = runtimeCommand("node");
    const { namespace } = chassisOf(fixture, "b");
    const serving = spawn("ip", ["netns", "exec", namespace, node!, "-e", server], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const exited = once(serving, "exit");
    try {
      await once(serving.stdout, "data");
      await inside(fixture, "a", "ip", "neigh", "flush", "dev", "underlay");
      assert.equal((await inside(fixture, "a", node!, "-e", client)).trim(), "4000000");
      const fragments = ["-c", "2", "-i", "0.2", "-s", "4000"];
      await inside(fixture, "a", "ping", ...fragments, "192.168.100.2");
    } finally {
      serving.stdin.end();
      await exited;
    }
    await whenDirect(fixture, BOTH);
    await assertGoesDirect(fixture);
  });
});

describe("a tunnel over AF_XDP and IPv6", () => {
  const lab = labOf({ name: "xdp-six", chassis: ["a", "b"], underlay: "ipv6", ports });
  const fixture = useLab("xdp-six", { lab, workers: 2, tunnelDriver: "af-xdp" });

  test("carries flows in order, and its datagrams have sums", LIMIT, async () => {
    for (const workload of ["vm1", "vm2"]) await fixture.agent(workload);
    await whenDirect(fixture, BOTH);
    const before = await socketLosses(fixture, ["vm1", "vm2"]);
    const underlay = { namespace: fixture.running.namespaceOf("underlay"), device: "bridge" };
    await withCapture(
      { ...underlay, filter: "ip6 and udp port 6081", snapLength: 2048 },
      async () => {
        const report = await withFlows(fixture, LOAD, () => sleep(1500));
        const missed = (await socketLosses(fixture, ["vm1", "vm2"])) - before;
        const told = JSON.stringify({ ...report, missed });
        assert.equal(report.received + missed, report.sent, told);
        assert.equal(report.reordered, 0, told);
        assert.equal(report.tcp[0]!.failure, "", told);
      },
      async (capture) => {
        const all = await capture.rows(["frame.number"], "udp.dstport == 6081");
        assert.ok(all.length > 2000, `${all.length} packets`);
        const wrong = "udp.checksum.status == 0 || udp.checksum == 0";
        assert.deepEqual(await capture.rows(["frame.number"], wrong), []);
      },
    );
  });
});
