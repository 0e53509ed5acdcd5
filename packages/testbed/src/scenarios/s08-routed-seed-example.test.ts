/** S08: from web to db over two chassis; the first half of the pipeline here, the second there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assignKeys, DATAPATH_KEYS } from "@rhone/chassis/keys";
import { withCapture } from "../capture.ts";
import { exampleLab as lab, stageGrowth, useLab } from "../lab-fixture.ts";
import { readTunnel, TUNNEL_FILTER } from "../tunnel.ts";

const LIMIT = { timeout: 60_000 };
const DATAGRAMS = 200;
const ROUTER_MAC = "02:00:00:00:02:01"; // In db; labs/web-db.yaml.
const VM1_MAC = "02:00:00:00:01:10";
const VM4_MAC = "02:00:00:00:02:10";
const fixture = useLab("s08", { lab });

// One transaction made them all, so every one was created at the same time.
const created = { clock: 1, origin: "a" };
const VNIS = assignKeys(
  ["switch/web", "switch/db", "router/router1"].map((name) => ({ name, created })),
  1,
  DATAPATH_KEYS,
);

const FAMILIES = [
  { title: "IPv4", to: "10.0.2.10", hops: "ip.ttl" },
  { title: "IPv6", to: "fd00:0:0:2::10", hops: "ipv6.hlim" },
] as const;

for (const { title, to, hops } of FAMILIES) {
  test(`S08: TCP over ${title} arrives from the router's MAC, one hop older`, LIMIT, async () => {
    const [vm1] = [await fixture.agent("vm1"), await fixture.agent("vm4")];
    const talk = async (): Promise<void> => {
      const { ok, detail } = await vm1.ask({ op: "tcp", to, size: 10_000_000 });
      assert.ok(ok, detail);
    };
    const namespace = fixture.running.namespaceOf("vm4");
    const options = { namespace, device: "eth0", filter: "tcp dst port 7", snapLength: 128 };
    await withCapture(options, talk, async (capture) => {
      const rows = await capture.rows(["eth.src", "eth.dst", hops]);
      assert.ok(rows.length > 10, `${rows.length} packets`);
      const kinds = new Set(rows.map((row) => row.join(" ")));
      assert.deepEqual(kinds, new Set([`${ROUTER_MAC} ${VM4_MAC} 63`]));
    });
  });

  test(
    `S08: on the wire, ${title} goes on at stage 8 in the destination's switch`,
    LIMIT,
    async () => {
      const namespace = fixture.running.namespaceOf("underlay");
      const options = { namespace, device: "bridge", filter: TUNNEL_FILTER };
      const vm1 = await fixture.agent("vm1");
      const ping = async (): Promise<void> => {
        const { detail } = await vm1.ask({ op: "ping", arguments: ["-c", "3", "-i", "0.25", to] });
        assert.match(detail, / 3 received/);
      };
      await withCapture(options, ping, async (capture) => {
        // Whatever else is under way goes to groups.
        const packets = (await readTunnel(capture)).filter(({ innerDestination }) =>
          [VM1_MAC, VM4_MAC].includes(innerDestination),
        );
        const forth = packets.filter(({ from }) => from === "192.168.100.1");
        const back = packets.filter(({ to }) => to === "192.168.100.1");
        assert.deepEqual([forth.length, back.length], [3, 3]);
        assert.deepEqual(new Set(packets.map(({ stage }) => stage)), new Set([8]));
        assert.equal(new Set(packets.map(({ handOffsLeft }) => handOffsLeft)).size, 1);
        const db = VNIS.get("switch/db");
        const web = VNIS.get("switch/web");
        assert.notEqual(db, web);
        assert.ok(forth.every(({ vni, to }) => vni === db && to === "192.168.100.3"));
        assert.ok(back.every(({ vni, from }) => vni === web && from === "192.168.100.3"));
      });
    },
  );
}

test(
  "S08: stages 0–7 run only on the source's chassis, 8–15 only on the destination's",
  LIMIT,
  async () => {
    await fixture.silence();
    const tool = import.meta.resolve("../udp-tool.ts");
    const warmUp = await fixture.run("vm1", "ping", "-c", "1", "-W", "1", "10.0.2.10");
    assert.match(warmUp.stdout, / 1 received/);
    const counting = fixture.script("vm4", tool, ["count", "9999", `${DATAGRAMS}`, "10000"]);
    const listening = ["ss", "-Hlun", "sport = :9999"];
    while ((await fixture.run("vm4", ...listening)).stdout === "");
    const before = await allCounters();
    await fixture.script("vm1", tool, ["send", "10.0.2.10", "9999", "20", `${DATAGRAMS / 20}`]);
    assert.match(await counting, new RegExp(`^${DATAGRAMS}$`, "m"));
    const after = await allCounters();
    const [a, b, c] = before.map((counters, i) => stageGrowth(counters, after[i]!));
    const half = new Array(8).fill(DATAGRAMS);
    const none = new Array(8).fill(0);
    assert.deepEqual(a, [...half, ...none]);
    assert.deepEqual(b, [...none, ...none]);
    assert.deepEqual(c, [...none, ...half]);
  },
);

function allCounters(): ReturnType<typeof Promise.all<ReturnType<typeof fixture.counters>[]>> {
  return Promise.all(["a", "b", "c"].map((name) => fixture.counters(name)));
}
