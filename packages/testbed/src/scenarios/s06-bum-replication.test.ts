/** S06: a broadcast goes once to each chassis that has somebody to hear it, and to nobody twice. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withCapture } from "../capture.ts";
import { ALL_NODES, ALL_NODES_MAC, BROADCAST, udpFrame } from "../frames.ts";
import { useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { readTunnel, TUNNEL_FILTER } from "../tunnel.ts";

const LIMIT = { timeout: 30_000 };
const COPIES = 10;
const lab = labOf({
  name: "s06",
  chassis: ["a", "b", "c", "d"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.1", "fd00:0:0:1::1"] },
    { name: "vm2", switch: "s", chassis: "a", addresses: ["10.0.1.2", "fd00:0:0:1::2"] },
    { name: "vm3", switch: "s", chassis: "b", addresses: ["10.0.1.3", "fd00:0:0:1::3"] },
    { name: "vm4", switch: "s", chassis: "b", addresses: ["10.0.1.4", "fd00:0:0:1::4"] },
    { name: "vm5", switch: "s", chassis: "c", addresses: ["10.0.1.5", "fd00:0:0:1::5"] },
    { name: "vm6", switch: "other", chassis: "d", addresses: ["10.0.1.6", "fd00:0:0:1::6"] },
  ],
});
const fixture = useLab("s06", { lab, workers: 1 });
const fromMac = lab.workloads[0]!.mac;

const CASES = [
  {
    title: "a broadcast",
    frame: udpFrame({ fromMac, toMac: BROADCAST, from: "10.0.1.1", to: "255.255.255.255" }),
  },
  {
    title: "a multicast",
    frame: udpFrame({ fromMac, toMac: ALL_NODES_MAC, from: "fd00:0:0:1::1", to: ALL_NODES }),
  },
];

for (const { title, frame } of CASES) {
  test(
    `S06: ${title} is one copy for each chassis with members, one for each member`,
    LIMIT,
    async () => {
      await fixture.silence();
      const { namespaceOf } = fixture.running;
      const before = await deliveries();
      const send = async (): Promise<void> => {
        const lines = `${frame.toString("hex")}\n`.repeat(COPIES);
        await fixture.script("vm1", import.meta.resolve("../raw-frames.ts"), [], lines);
      };
      const options = {
        namespace: namespaceOf("underlay"),
        device: "bridge",
        filter: TUNNEL_FILTER,
      };
      const byChassis = await withCapture(options, send, async (capture) => {
        const packets = await readTunnel(capture);
        return Map.groupBy(packets, ({ to }) => to);
      });
      const copies = [...byChassis].map(([to, packets]) => `${to}: ${packets.length}`).toSorted();
      assert.deepEqual(copies, [`192.168.100.2: ${COPIES}`, `192.168.100.3: ${COPIES}`]);
      const after = await deliveries();
      const grown = [...after].map(([name, count]) => [name, count - before.get(name)!]);
      assert.deepEqual(Object.fromEntries(grown), {
        ...{ vm1: 0, vm2: COPIES, vm3: COPIES, vm4: COPIES, vm5: COPIES, vm6: 0 },
      });
    },
  );
}

/** Frames that each workload was given so far. */
async function deliveries(): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const { name } of lab.chassis) {
    const { devices } = await fixture.counters(name);
    for (const { port, txPackets } of devices) counts.set(port, txPackets);
  }
  return counts;
}
