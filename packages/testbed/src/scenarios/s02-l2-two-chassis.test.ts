/** S02: one switch over two chassis, and what the wire between them carries. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SOURCE_PORTS_DEFAULT } from "@rhone/netio/udp-socket";
import { type CaptureOptions, withCapture } from "../capture.ts";
import { useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { readTunnel, TUNNEL_FILTER } from "../tunnel.ts";

const LIMIT = { timeout: 60_000 };
const FLOWS = 1000;
const lab = labOf({
  name: "s02",
  chassis: ["a", "b"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10", "fd00:0:0:1::10"] },
    { name: "vm2", switch: "s", chassis: "b", addresses: ["10.0.1.11", "fd00:0:0:1::11"] },
  ],
});
const fixture = useLab("s02", { lab });

/** Frames of the underlay are whole and short here, so many more of them may wait for tcpdump. */
const SNAP_LENGTH = 2048;

function underlay(): CaptureOptions {
  const namespace = fixture.running.namespaceOf("underlay");
  return { namespace, device: "bridge", filter: TUNNEL_FILTER, snapLength: SNAP_LENGTH };
}

test("S02: ping, 10 MB of TCP and UDP work, each in one clean tunnel", LIMIT, async () => {
  const traffic = async (): Promise<void> => {
    const [vm1] = [await fixture.agent("vm1"), await fixture.agent("vm2")];
    for (const to of ["10.0.1.11", "fd00:0:0:1::11"]) {
      const pinged = await vm1.ask({ op: "ping", arguments: ["-c", "5", "-i", "0.25", to] });
      assert.match(pinged.detail, / 5 received/);
      const tcp = await vm1.ask({ op: "tcp", to, size: 10_000_000 });
      assert.ok(tcp.ok, tcp.detail);
      const udp = await vm1.ask({ op: "udp", to, sizes: [0, 1, 500, 1300] });
      assert.ok(udp.ok, udp.detail);
    }
  };
  await withCapture(underlay(), traffic, async (capture) => {
    const packets = await readTunnel(capture);
    assert.ok(packets.length > (2 * 10_000_000) / 1418, `${packets.length} packets`);
    assert.equal(new Set(packets.map(({ vni }) => vni)).size, 1, "one switch, one VNI");
    assert.deepEqual(new Set(packets.map(({ stage }) => stage)), new Set([8]));
    const ways = new Set(packets.map(({ from, to }) => `${from} ${to}`));
    assert.deepEqual(ways, new Set(["192.168.100.1 192.168.100.2", "192.168.100.2 192.168.100.1"]));
  });
});

test("S02: many flows spread over all outer source ports", LIMIT, async () => {
  const tool = import.meta.resolve("../udp-tool.ts");
  const send = () => fixture.script("vm1", tool, ["send", "10.0.1.11", "9", `${FLOWS}`, "1"]);
  await withCapture(underlay(), send, async (capture) => {
    const packets = await readTunnel(capture);
    const forward = packets.filter(({ from }) => from === "192.168.100.1");
    assert.ok(forward.length >= FLOWS, `${forward.length} packets`);
    const ports = new Set(forward.map(({ sourcePort }) => sourcePort));
    assert.equal(ports.size, SOURCE_PORTS_DEFAULT);
  });
});

test("S02: all packets of one flow have one outer source port", LIMIT, async () => {
  const tool = import.meta.resolve("../udp-tool.ts");
  const send = () => fixture.script("vm1", tool, ["send", "10.0.1.11", "9", "1", "50"]);
  await withCapture(underlay(), send, async (capture) => {
    const packets = await readTunnel(capture);
    const ofFlow = packets.filter(
      ({ from, protocols }) => from === "192.168.100.1" && protocols.endsWith(":udp:data"),
    );
    assert.ok(ofFlow.length >= 50, `${ofFlow.length} packets`);
    assert.equal(new Set(ofFlow.map(({ sourcePort }) => sourcePort)).size, 1);
  });
});
