/**
 * S53: a guest moves from one chassis to another under ping, UDP and TCP from a third one. The
 * target stands by until the guest announces itself there; from then on everything goes there, what
 * still comes to the source is passed on, nothing is delivered twice, and the connection lives.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CountersView, PortStatusView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { run } from "@rhone/cli/run";
import { runtimeCommand, scriptPath } from "@rhone/cli/runtime";
import { defaultMac } from "@rhone/state/schema";
import { withFlows } from "../flows.ts";
import { ip, layCable } from "../guests.ts";
import { openIdleConnection } from "../idle-connection.ts";
import { useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 180_000 };
const CHASSIS = ["a", "b", "c"];
const MAC = defaultMac("port/vm");
const ADDRESS = "10.0.1.20";
const LOAD = { from: "client", to: [ADDRESS], flows: 4, rate: 400 };
/** Longest silence of the network itself; a machine that is busy adds its own. */
const GAP_MS = 500;
const BUSY_MS = 2500;
const lab = labOf({
  name: "s53",
  chassis: CHASSIS,
  ports: [
    { name: "vm", switch: "s", chassis: "a", addresses: [ADDRESS] },
    { name: "client", switch: "s", chassis: "c", addresses: ["10.0.1.10"] },
  ],
});
const fixture = useLab("s53", { lab });

/** The guest's own device becomes a bridge, behind which its cables can be changed. */
async function makeMovable(): Promise<void> {
  await ip(fixture, "vm", [
    "address flush dev eth0",
    "link set eth0 down",
    "link set eth0 name nic-a address 02:00:00:00:53:0a",
    `link add eth0 mtu 1418 address ${MAC} type bridge stp_state 0 forward_delay 0`,
    "link set nic-a master eth0 up",
    "link set eth0 up",
    `address add ${ADDRESS}/24 dev eth0`,
  ]);
  const cable = { chassis: "b", device: "vm-there", workload: "vm", inner: "nic-b" };
  await layCable(fixture, cable, ["link set nic-b address 02:00:00:00:53:0b up"]);
  // It announces itself, as a guest's kernel does when its hypervisor tells it that it has moved.
  const file = "/proc/sys/net/ipv4/conf/eth0/arp_notify";
  await fixture.run("vm", "sh", "-c", `echo 1 > ${file}`);
}

/** Between two instructions the guest is at the other host, and says so if `isHeard`. */
async function move(from: string, to: string, isHeard: boolean): Promise<void> {
  const announcement = isHeard ? [`link set eth0 address ${MAC}`] : [];
  await ip(fixture, "vm", [
    `link set ${from} nomaster`,
    `link set ${to} master eth0`,
    ...announcement,
  ]);
}

async function statusAt(chassis: string): Promise<PortStatusView> {
  const { client } = fixture.chassis(chassis);
  return (await client.get<{ status: PortStatusView }>("/v1/ports/vm")).status;
}

async function untilAll(what: string, isTrue: (status: PortStatusView) => boolean): Promise<void> {
  await until(what, async () => (await Promise.all(CHASSIS.map(statusAt))).every(isTrue));
}

const isStandby =
  (chassis: string) =>
  ({ claims }: PortStatusView): boolean =>
    claims.some((claim) => claim.chassis === chassis && claim.role === "standby" && claim.up);

/** The command that users have, asked at a chassis that has nothing to do with the move. */
async function rhone(...argv: readonly string[]): Promise<string> {
  const server = fixture.chassis("c").client.server;
  const command = [...runtimeCommand("node"), scriptPath("./main.ts"), "--server", server];
  const { code, stdout, stderr } = await run([...command, "port", ...argv]);
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}

/** Moves under load; returns what that cost, for whoever reads it. */
async function moveUnderLoad(move: () => Promise<void>): Promise<string> {
  const pinged = fixture.run("client", "ping", "-q", "-i0.02", "-c200", "-W1", ADDRESS);
  const { sent, received, reordered, repeated, tcp, gapMs } = await withFlows(
    fixture,
    LOAD,
    async () => {
      await move();
      await pinged;
    },
  );
  const { stdout } = await pinged;
  const lost = sent - received;
  assert.equal(repeated, 0, "nothing is delivered twice");
  assert.doesNotMatch(stdout, /duplicates/);
  for (const { failure } of tcp) assert.equal(failure, "", "the connection lives");
  const most = (LOAD.rate * (GAP_MS + BUSY_MS)) / 1000;
  assert.ok(lost <= most, `${lost} of ${sent} datagrams lost, at most ${most} expected`);
  assert.ok(gapMs <= GAP_MS + BUSY_MS, `${gapMs} ms of silence`);
  return `${lost} of ${sent} datagrams lost, ${reordered} late, longest silence ${gapMs} ms`;
}

/** Of connections that came along with their ports, at a chassis. */
async function arrivedAt(chassis: string): Promise<number> {
  const { connections } = await fixture.chassis(chassis).client.get<CountersView>("/v1/counters");
  return connections.arrived;
}

test(
  "S53: a connection that only the client may begin goes on when the server speaks first",
  LIMIT,
  async (t) => {
    await makeMovable();
    const { client } = fixture.chassis("c");
    const rule = { switch: "s", port: "vm", direction: "from-port", priority: 100 };
    const body = { ...rule, match: { protocol: "tcp" }, action: "reject" };
    succeeded(await client.request("PUT", "/v1/acls/vm-begins-nothing?wait=applied", { body }));
    t.after(() => client.request("DELETE", "/v1/acls/vm-begins-nothing?wait=applied"));
    const idle = await openIdleConnection(fixture, { client: "client", server: "vm", to: ADDRESS });
    try {
      assert.equal(await idle.speak("one"), "one");
      const before = await arrivedAt("b");
      await rhone("migrate", "vm", "--to", "b", "--device", "vm-there", "--wait");
      await untilAll("b stands by", isStandby("b"));
      await move("nic-a", "nic-b", true);
      await untilAll("the port is at b", ({ chassis, up }) => chassis === "b" && up);
      assert.equal(await idle.speak("two"), "two", "the server speaks first at b");
      assert.ok((await arrivedAt("b")) > before, "the connection came along");

      // And back, where an entry of the same connection may still be.
      await rhone("migrate", "vm", "--finish", "--wait");
      await rhone("migrate", "vm", "--to", "a", "--device", "vm", "--wait");
      await untilAll("a stands by", isStandby("a"));
      await move("nic-b", "nic-a", false);
      succeeded(await client.request("POST", "/v1/ports/vm/activate"));
      await untilAll("the port is at a", ({ chassis, up }) => chassis === "a" && up);
      assert.equal(await idle.speak("three"), "three", "the server speaks first at a");
      await rhone("migrate", "vm", "--finish", "--wait");
    } finally {
      await idle.close();
    }
  },
);

test("S53: a guest moves to another chassis under traffic", LIMIT, async (t) => {
  await fixture.agent("vm");
  const [{ epoch }] = (await statusAt("c")).claims as [PortStatusView["claims"][number]];
  await rhone("migrate", "vm", "--to", "b", "--device", "vm-there", "--wait");
  await untilAll("b stands by", isStandby("b"));
  const there = await moveUnderLoad(async () => {
    await move("nic-a", "nic-b", true);
    await untilAll("the port is at b", ({ chassis, up }) => chassis === "b" && up);
  });
  t.diagnostic(`moved by the guest's announcement: ${there}`);
  await rhone("migrate", "vm", "--finish", "--wait");
  await untilAll("only b has the port", ({ chassis, claims }) => {
    return chassis === "b" && claims.length === 1 && claims[0]!.epoch === epoch + 1;
  });

  // And back, where the guest says nothing and whoever moves it does.
  await rhone("migrate", "vm", "--to", "a", "--device", "vm", "--wait");
  await untilAll("a stands by", isStandby("a"));
  const back = await moveUnderLoad(async () => {
    await move("nic-b", "nic-a", false);
    const { client } = fixture.chassis("c");
    succeeded(await client.request("POST", "/v1/ports/vm/activate"));
    await untilAll("the port is at a", ({ chassis, up }) => chassis === "a" && up);
  });
  t.diagnostic(`moved by a request: ${back}`);
  await rhone("migrate", "vm", "--abort", "--wait");
  await untilAll("the port is at b again, where its guest is not", ({ chassis, claims }) => {
    return chassis === "b" && claims.length === 1;
  });
});
