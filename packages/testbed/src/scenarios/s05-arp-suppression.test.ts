/** S05: the chassis answers for workloads elsewhere, so that nothing is broadcast. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withCapture } from "../capture.ts";
import { useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { readTunnel, TUNNEL_FILTER } from "../tunnel.ts";

const LIMIT = { timeout: 30_000 };
const lab = labOf({
  name: "s05",
  chassis: ["a", "b"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10", "fd00:0:0:1::10"] },
    { name: "vm2", switch: "s", chassis: "b", addresses: ["10.0.1.11", "fd00:0:0:1::11"] },
    {
      ...{ name: "vm3", switch: "s", chassis: "b", addresses: ["10.0.1.12", "fd00:0:0:1::12"] },
      unplugged: true,
    },
  ],
});
const fixture = useLab("s05", { lab });

const FAMILIES = [
  { title: "ARP", up: "10.0.1.11", down: "10.0.1.12" },
  { title: "ND", up: "fd00:0:0:1::11", down: "fd00:0:0:1::12" },
];

for (const { title, up, down } of FAMILIES) {
  test(
    `S05: ${title} for a remote workload is answered at once and stays off the wire`,
    LIMIT,
    async () => {
      const underlay = fixture.running.namespaceOf("underlay");
      const options = { namespace: underlay, device: "bridge", filter: TUNNEL_FILTER };
      await fixture.run("vm1", "ip", "neighbour", "flush", "dev", "eth0");
      const ask = async (): Promise<void> => {
        const { stdout } = await fixture.run("vm1", "ping", "-c", "1", "-W", "1", up);
        assert.match(stdout, / 1 received/);
      };
      await withCapture(options, ask, async (capture) => {
        const packets = await readTunnel(capture);
        assert.ok(packets.length >= 2, "the ping itself, both ways");
        // Broadcasts, and groups for solicitations (RFC 4291 §2.7.1).
        const asked = packets.filter(({ innerDestination, protocols }) => {
          return /^(ff:ff|33:33:ff):/.test(innerDestination) || protocols.includes("arp");
        });
        assert.deepEqual(asked, []);
      });
      const { stdout } = await fixture.run("vm1", "ip", "neighbour", "show", up);
      const vm2 = lab.workloads.find(({ name }) => name === "vm2")!;
      assert.match(stdout, new RegExp(`lladdr ${vm2.mac}`));
    },
  );

  test(`S05: ${title} for a port that is down is not answered`, LIMIT, async () => {
    const { stdout } = await fixture.run("vm1", "ping", "-c", "1", "-W", "1", down);
    assert.match(stdout, / 0 received/);
    const neighbour = await fixture.run("vm1", "ip", "neighbour", "show", down);
    assert.doesNotMatch(neighbour.stdout, /lladdr/);
  });
}
