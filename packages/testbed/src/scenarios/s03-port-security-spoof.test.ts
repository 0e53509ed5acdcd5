/** S03: frames from foreign addresses are dropped where they come in, and the counters say why. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CountersView } from "@rhone/api/context";
import { withCapture } from "../capture.ts";
import { arpRequest, type Ends, neighbourAdvertisement, udpFrame } from "../frames.ts";
import { dropsOf, useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";

const LIMIT = { timeout: 30_000 };
const COPIES = 5;
const lab = labOf({
  name: "s03",
  chassis: ["a", "b"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10", "fd00:0:0:1::10"] },
    { name: "vm2", switch: "s", chassis: "b", addresses: ["10.0.1.11", "fd00:0:0:1::11"] },
    { name: "vm3", switch: "s", chassis: "a", addresses: ["10.0.1.12", "fd00:0:0:1::12"] },
  ],
});
const fixture = useLab("s03", { lab });
const [vm1, vm2, vm3] = lab.workloads as [Workload, Workload, Workload];
type Workload = (typeof lab.workloads)[number];

const ipv4: Ends = { fromMac: vm1.mac, toMac: vm2.mac, from: "10.0.1.10", to: "10.0.1.11" };
const ipv6: Ends = { ...ipv4, from: "fd00:0:0:1::10", to: "fd00:0:0:1::11" };
const self = { mac: vm1.mac, ip: "10.0.1.10" };

const HONEST = {
  "an IPv4 packet": udpFrame(ipv4),
  "an IPv6 packet": udpFrame(ipv6),
  "an ARP request for nobody": arpRequest(vm1.mac, self, "10.0.1.99"),
  "a neighbour advertisement": neighbourAdvertisement(vm1.mac, ipv6.from, {
    ...{ target: ipv6.from, targetMac: vm1.mac },
  }),
};

// Each claims to be vm3, which exists on the same chassis, or somebody who does not.
const LIES: Readonly<Record<string, readonly [reason: string, frame: Buffer]>> = {
  "another port's MAC": ["port-security-mac", udpFrame({ ...ipv4, fromMac: vm3.mac })],
  "an unknown MAC": ["port-security-mac", udpFrame({ ...ipv6, fromMac: "02:00:5e:00:53:66" })],
  "a MAC of a group": ["malformed-ethernet", udpFrame({ ...ipv4, fromMac: "03:00:00:00:00:01" })],
  "another port's IPv4 address": ["port-security-ip", udpFrame({ ...ipv4, from: "10.0.1.12" })],
  "a foreign IPv4 address": ["port-security-ip", udpFrame({ ...ipv4, from: "8.8.8.8" })],
  "another port's IPv6 address": [
    "port-security-ip",
    udpFrame({ ...ipv6, from: "fd00:0:0:1::12" }),
  ],
  "another port's link-local address": [
    "port-security-ip",
    udpFrame({ ...ipv6, from: "fe80::dead:beef" }),
  ],
  "an ARP sender's foreign IPv4 address": [
    "port-security-arp",
    arpRequest(vm1.mac, { mac: vm1.mac, ip: "10.0.1.12" }, "10.0.1.11"),
  ],
  "an ARP sender's foreign MAC": [
    "port-security-arp",
    arpRequest(vm1.mac, { mac: vm3.mac, ip: "10.0.1.10" }, "10.0.1.11"),
  ],
  "an advertisement's foreign target": [
    "port-security-nd",
    neighbourAdvertisement(vm1.mac, ipv6.from, { target: "fd00:0:0:1::12", targetMac: vm1.mac }),
  ],
  "an advertisement's foreign MAC": [
    "port-security-nd",
    neighbourAdvertisement(vm1.mac, ipv6.from, { target: ipv6.from, targetMac: vm3.mac }),
  ],
};

function send(frame: Buffer): Promise<string> {
  const lines = `${frame.toString("hex")}\n`.repeat(COPIES);
  return fixture.script("vm1", import.meta.resolve("../raw-frames.ts"), [], lines);
}

/** How many of a frame arrive at vm2. */
function arrivals(frame: Buffer): Promise<number> {
  const namespace = fixture.running.namespaceOf("vm2");
  const wanted = frame.toString("hex");
  return withCapture(
    { namespace, device: "eth0", filter: "" },
    () => send(frame),
    async (capture) => {
      // The first bytes say who to and from whom; what the frame claims is behind them.
      const rows = await capture.rows(["eth.dst", "eth.src", "frame.len"]);
      const key = [wanted.slice(0, 12), wanted.slice(12, 24), String(frame.length)].join();
      return rows.filter((row) => row.join().replaceAll(":", "") === key).length;
    },
  );
}

for (const [title, frame] of Object.entries(HONEST)) {
  test(`S03: ${title} with the port's own addresses passes`, LIMIT, async () => {
    const before = await fixture.counters("a");
    assert.equal(await arrivals(frame), COPIES);
    const after = await fixture.counters("a");
    assert.equal(securityDrops(after), securityDrops(before));
  });
}

for (const [title, [reason, frame]] of Object.entries(LIES)) {
  test(`S03: ${title} is dropped at stage 0`, LIMIT, async () => {
    const before = await fixture.counters("a");
    assert.equal(await arrivals(frame), 0);
    const after = await fixture.counters("a");
    assert.equal(dropsOf(after, reason) - dropsOf(before, reason), COPIES);
    assert.equal(after.stages[0]!.drops - before.stages[0]!.drops, COPIES);
  });
}

function securityDrops({ drops }: CountersView): number {
  const counted = drops.filter(({ reason }) => reason.startsWith("port-security"));
  return counted.reduce((sum, { packets }) => sum + packets, 0);
}
