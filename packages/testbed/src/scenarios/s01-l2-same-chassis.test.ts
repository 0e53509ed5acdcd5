/** S01: two workloads on one switch and one chassis. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withCapture } from "../capture.ts";
import { useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { TUNNEL_FILTER } from "../tunnel.ts";

const LIMIT = { timeout: 60_000 };
const port = { switch: "s", chassis: "a" };
const lab = labOf({
  name: "s01",
  chassis: ["a"],
  ports: [
    { ...port, name: "vm1", addresses: ["10.0.1.10", "fd00:0:0:1::10"] },
    { ...port, name: "vm2", addresses: ["10.0.1.11", "fd00:0:0:1::11"] },
  ],
});
const fixture = useLab("s01", { lab });

test("S01: ping and 10 MB of TCP work and nothing enters a tunnel", LIMIT, async () => {
  const underlay = fixture.running.namespaceOf("underlay");
  const traffic = async (): Promise<void> => {
    const [vm1] = [await fixture.agent("vm1"), await fixture.agent("vm2")];
    for (const to of ["10.0.1.11", "fd00:0:0:1::11"]) {
      const pinged = await vm1.ask({ op: "ping", arguments: ["-c", "5", "-i", "0.25", to] });
      assert.match(pinged.detail, / 5 received/);
      const { ok, detail } = await vm1.ask({ op: "tcp", to, size: 10_000_000 });
      assert.ok(ok, detail);
    }
  };
  const options = { namespace: underlay, device: "bridge", filter: TUNNEL_FILTER };
  await withCapture(options, traffic, async (capture) => {
    assert.deepEqual(await capture.rows(["frame.number"]), []);
  });
  const { tunnel, devices } = await fixture.counters("a");
  assert.deepEqual({ rx: tunnel.rxPackets, tx: tunnel.txPackets }, { rx: 0, tx: 0 });
  for (const { port, txBytes } of devices) {
    assert.ok(txBytes > 20_000_000, `port ${port} got ${txBytes} bytes`);
  }
});
