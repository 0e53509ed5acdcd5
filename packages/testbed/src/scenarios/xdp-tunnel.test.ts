/**
 * Two chassis whose tunnel goes over AF_XDP, on both sides or on one: what travels through it is
 * whole and in order, and what is not the tunnel's is the kernel's as before.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CountersView } from "@rhone/api/context";
import type { TunnelDriver } from "@rhone/cli/namespaces";
import { withCapture } from "../capture.ts";
import { assertNoSlotIsLost, datagramsOf, tunnelCheck, whenDirect } from "../direct-tunnel.ts";
import { socketLosses, withFlows } from "../flows.ts";
import { type LabFixture, useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { readTunnel, TUNNEL_FILTER } from "../tunnel.ts";

const LIMIT = { timeout: 60_000 };
const VM1 = ["10.0.1.10", "fd00:0:0:1::10"];
const VM2 = ["10.0.1.11", "fd00:0:0:1::11"];
const lab = labOf({
  name: "xdp-tunnel",
  chassis: ["a", "b"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: VM1 },
    { name: "vm2", switch: "s", chassis: "b", addresses: VM2 },
  ],
});

type Drivers = Readonly<Record<"a" | "b", TunnelDriver>>;

const namespaceOf = (fixture: LabFixture, name: string): string =>
  fixture.running.namespaceOf(name);

/** Resolves when every chassis that can has the path to its peer. */
async function whenReached(fixture: LabFixture, drivers: Drivers): Promise<void> {
  for (const name of ["a", "b"] as const) {
    if (drivers[name] === "af-xdp") await whenDirect(fixture, [name]);
    else assert.equal(await tunnelCheck(fixture, name), undefined);
  }
}

for (const [drivers, workers] of [
  [{ a: "af-xdp", b: "af-xdp" }, 1],
  [{ a: "af-xdp", b: "af-xdp" }, 2],
  [{ a: "af-xdp", b: "udp" }, 2],
] as const) {
  describe(`a by ${drivers.a}, b by ${drivers.b}, ${workers} workers`, () => {
    const name = `xdp-${drivers.b}-${workers}`;
    const fixture = useLab(name, { lab, workers, tunnelDriver: drivers });

    test("ping, TCP and UDP pass in both families and directions", LIMIT, async () => {
      await whenReached(fixture, drivers);
      const before = await datagramsOf(fixture, "a");
      const [vm1, vm2] = [await fixture.agent("vm1"), await fixture.agent("vm2")];
      for (const [from, addresses] of [
        [vm1, VM2],
        [vm2, VM1],
      ] as const) {
        for (const to of addresses) {
          const pinged = await from.ask({ op: "ping", arguments: ["-c", "5", "-i", "0.2", to] });
          assert.match(pinged.detail, / 5 received/);
          const tcp = await from.ask({ op: "tcp", to, size: 1_000_000 });
          assert.ok(tcp.ok, tcp.detail);
          const udp = await from.ask({ op: "udp", to, sizes: [0, 1, 500, 1300] });
          assert.ok(udp.ok, udp.detail);
        }
      }
      const { tunnel } = await fixture.counters("a");
      assert.ok(tunnel.rxPackets > 1000, JSON.stringify(tunnel));
      const bySockets = (await datagramsOf(fixture, "a")) - before;
      assert.ok(bySockets < 20, `${bySockets} of ${tunnel.rxPackets} packets came by sockets`);
    });

    test("many flows: nothing is lost, nothing overtakes, no slot is missing", LIMIT, async () => {
      const workloads = ["vm1", "vm2"];
      for (const workload of workloads) await fixture.agent(workload);
      const before = await socketLosses(fixture, workloads);
      const load = { from: "vm1", to: [VM2[0]!], flows: 200, rate: 2000 };
      const report = await withFlows(fixture, load, () => sleep(2000));
      const missed = (await socketLosses(fixture, workloads)) - before;
      const counters = await Promise.all(["a", "b"].map((each) => fixture.counters(each)));
      const drops = counters.map(({ drops }: CountersView) => drops);
      const told = JSON.stringify({ ...report, missed, drops });
      assert.ok(report.sent > 1000, told);
      assert.equal(report.received + missed, report.sent, told);
      assert.equal(report.reordered, 0, told);
      assert.equal(report.tcp[0]!.failure, "", told);
      await assertNoSlotIsLost(fixture);
    });

    test("on the wire it is the tunnel that it always was", LIMIT, async () => {
      const underlay = { namespace: namespaceOf(fixture, "underlay"), device: "bridge" };
      const ping = () => fixture.run("vm1", "ping", "-c", "5", "-i", "0.2", VM2[0]!);
      await withCapture({ ...underlay, filter: TUNNEL_FILTER }, ping, async (capture) => {
        const packets = await readTunnel(capture); // No sum is wrong.
        assert.ok(packets.length >= 10, `${packets.length} packets`);
        const fields = ["ip.flags.df", "ip.ttl", "udp.checksum"];
        for (const [df, ttl, sum] of await capture.rows(fields, "udp.dstport == 6081")) {
          assert.match(`${df} ${ttl}`, /^(1|True)\b.* 64\b/);
          assert.notEqual(sum!.split(",")[0], "0x0000");
        }
      });
    });
  });
}
