/** A workload on a device of several queues, under an AF_XDP port that serves all of them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { PortStatusView, WorkersView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { runOrThrow } from "@rhone/cli/run";
import { runtimeCommand } from "@rhone/cli/runtime";
import { socketLosses, withFlows } from "../flows.ts";
import { dropsOf, useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";

const LIMIT = { timeout: 60_000 };
const QUEUES = 4;
const DEVICE = "vm1";
const STATE_MS = 10_000;
const POLL_MS = 50;
const lab = labOf({
  name: "xdp-ports",
  chassis: ["a"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "a", addresses: ["10.0.1.11"] },
  ],
});
const fixture = useLab("xdp-ports", { lab, driver: "af-xdp", workers: 2 });

const chassis = () => fixture.running.chassis[0]!.process;

/** Lays another cable from the chassis to vm1, with more queues at both ends. */
async function layWideCable(): Promise<void> {
  const { mac, addresses } = lab.workloads[0]!;
  const [ours, theirs] = [chassis().namespace, fixture.running.namespaceOf("vm1")];
  const queues = `numrxqueues ${QUEUES} numtxqueues ${QUEUES}`;
  const peer = `peer name eth0 mtu 1418 address ${mac} ${queues} netns ${theirs}`;
  await runOrThrow(["ip", "-n", ours, "-batch", "-"], {
    input: `link del ${DEVICE}\nlink add name ${DEVICE} mtu 1418 ${queues} type veth ${peer}\n`,
  });
  for (const [namespace, device] of [
    [theirs, "eth0"],
    [ours, DEVICE],
  ] as const) {
    const inside = ["ip", "netns", "exec", namespace];
    const channels = ["rx", String(QUEUES), "tx", String(QUEUES)];
    await runOrThrow([...inside, "ethtool", "--set-channels", device, ...channels]);
    await runOrThrow([...inside, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off"]);
    await runOrThrow(["ip", "-n", namespace, "link", "set", device, "up"]);
  }
  const { address, prefixLength } = addresses[0]!;
  const target = `${address}/${prefixLength}`;
  await runOrThrow(["ip", "-n", theirs, "address", "add", target, "dev", "eth0"]);
}

/** Attaches vm1 to its chassis, or detaches it. */
async function attach(isAttached: boolean): Promise<void> {
  const { mac } = lab.workloads[0]!;
  const place = isAttached ? { chassis: "a", device: DEVICE } : {};
  const body = { switch: "s", addresses: ["10.0.1.10"], mac, ...place };
  succeeded(await chassis().client.request("PUT", "/v1/ports/vm1?wait=applied", { body }));
}

/** Resolves when what REST says of vm1 is as wanted. */
async function whenStatus(isWanted: (status: PortStatusView) => boolean): Promise<void> {
  const deadline = performance.now() + STATE_MS;
  for (;;) {
    const port = await chassis().client.get<{ status: PortStatusView }>("/v1/ports/vm1");
    if (isWanted(port.status)) return;
    assert.ok(performance.now() < deadline, JSON.stringify(port.status));
    await sleep(POLL_MS);
  }
}

/** Frames that the driver handed to the port's program, by queue. */
async function framesByQueue(device: string): Promise<number[]> {
  const inside = ["ip", "netns", "exec", chassis().namespace];
  const text = await runOrThrow([...inside, "ethtool", "-S", device]);
  return Array.from({ length: QUEUES }, (_, queue) =>
    Number(new RegExp(`rx_queue_${queue}_xdp_packets: (\\d+)`).exec(text)?.[1] ?? 0),
  );
}

test("flows on every queue pass, once and in order, and no slot is lost", LIMIT, async () => {
  await attach(false);
  await layWideCable();
  await attach(true);
  await whenStatus(({ up }) => up);
  for (const workload of ["vm1", "vm2"]) await fixture.agent(workload);
  const before = await socketLosses(fixture, ["vm1", "vm2"]);
  const load = { from: "vm1", to: ["10.0.1.11"], flows: 64, rate: 2000 };
  const report = await withFlows(fixture, load, () => sleep(2000));
  const missed = (await socketLosses(fixture, ["vm1", "vm2"])) - before;
  const told = JSON.stringify({ ...report, missed });
  assert.ok(report.sent > 1000, told);
  assert.equal(report.received + missed, report.sent, told);
  assert.equal(report.reordered, 0, told);
  assert.equal(report.tcp[0]!.failure, "", told);
  const frames = await framesByQueue(DEVICE);
  for (const count of frames) assert.ok(count > 100, `frames by queue: ${frames.join(", ")}`);
  assert.equal(dropsOf(await fixture.counters("a"), "device-overrun"), 0);
  const { slots } = await chassis().client.get<WorkersView>("/v1/workers");
  const { total, unaccounted, ...parts } = slots;
  assert.equal(unaccounted, 0);
  const sum = Object.values(parts).reduce((all, part) => all + part, 0);
  assert.equal(sum, total, JSON.stringify(slots));
});

test("a queue that somebody else has keeps the port down, and REST says which", LIMIT, async () => {
  await attach(false);
  await layWideCable();
  const { namespace } = chassis();
  const script = fileURLToPath(import.meta.resolve("../xdp-holder.ts"));
  const command = [...runtimeCommand("node"), script, DEVICE, "2"];
  const holder = spawn("ip", ["netns", "exec", namespace, ...command], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    await once(holder.stdout, "data");
    await attach(true);
    await whenStatus(({ up, detail }) => !up && /to queue 2: EBUSY/.test(detail ?? ""));
    holder.stdin.end();
    await once(holder, "exit");
    await whenStatus(({ up }) => up);
  } finally {
    holder.kill("SIGKILL");
  }
  await pingPasses();
});

test("a device that gets more queues is served on all of them again", LIMIT, async () => {
  const inside = ["ip", "netns", "exec"];
  for (const [namespace, device] of [
    [chassis().namespace, "vm2"],
    [fixture.running.namespaceOf("vm2"), "eth0"],
  ] as const) {
    const grown = ["ethtool", "--set-channels", device, "rx", "2", "tx", "2"];
    await runOrThrow([...inside, namespace, ...grown]);
  }
  const deadline = performance.now() + STATE_MS;
  for (;;) {
    const [, before] = await framesByQueue("vm2");
    const load = { from: "vm2", to: ["10.0.1.10"], flows: 32, rate: 500 };
    const { sent, received } = await withFlows(fixture, load, () => sleep(300));
    const [, after] = await framesByQueue("vm2");
    // Those of the second queue too: at first they are lost.
    if (received === sent && after! > before!) break;
    assert.ok(performance.now() < deadline, `${received} of ${sent}; queue 1: ${before}, ${after}`);
  }
});

test("a workload that leaves its checksums to its device is understood", LIMIT, async () => {
  const { stdout, code } = await fixture.run("vm2", "ethtool", "-K", "eth0", "tx", "on");
  assert.equal(code, 0, stdout);
  assert.match((await fixture.run("vm2", "ethtool", "-k", "eth0")).stdout, /tx-checksumming: on/);
  const [vm1, vm2] = await Promise.all([fixture.agent("vm1"), fixture.agent("vm2")]);
  for (const [from, to] of [
    [vm2, "10.0.1.10"],
    [vm1, "10.0.1.11"],
  ] as const) {
    const tcp = await from.ask({ op: "tcp", to, size: 200_000 });
    assert.ok(tcp.ok, `TCP to ${to}: ${tcp.detail}`);
    const udp = await from.ask({ op: "udp", to, sizes: [1, 100, 1300, 3000] });
    assert.ok(udp.ok, `UDP to ${to}: ${udp.detail}`);
  }
});

async function pingPasses(): Promise<void> {
  const { code, stdout } = await fixture.run("vm1", "ping", "-c", "3", "-i", "0.2", "10.0.1.11");
  assert.equal(code, 0, stdout);
}
