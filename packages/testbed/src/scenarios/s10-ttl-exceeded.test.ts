/** S10: a packet whose time is up is answered by the router and goes no further. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withCapture } from "../capture.ts";
import { dropsOf, exampleLab as lab, useLab } from "../lab-fixture.ts";

const LIMIT = { timeout: 30_000 };
const fixture = useLab("s10", { lab });

const FAMILIES = [
  {
    ...{ title: "IPv4", to: "10.0.2.10", filter: "icmp or udp" },
    said: /^From 10\.0\.1\.1 .*Time to live exceeded/m,
  },
  {
    ...{ title: "IPv6", to: "fd00:0:0:2::10", filter: "icmp6[0] == 128 or (ip6 and udp)" },
    said: /^From fd00:0:0:1::1 .*Time exceeded: Hop limit/m,
  },
];

for (const { title, to, filter, said } of FAMILIES) {
  test(`S10: ${title} with one hop left is answered from the router's address`, LIMIT, async () => {
    const before = await fixture.counters("a");
    const options = { namespace: fixture.running.namespaceOf("vm4"), device: "eth0", filter };
    const ping = async (): Promise<void> => {
      const argv = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", "-t", "1", to];
      const { stdout } = await fixture.run("vm1", ...argv);
      assert.match(stdout, said);
      assert.match(stdout, / 0 received, \+3 errors/);
    };
    await withCapture(options, ping, async (capture) => {
      assert.deepEqual(await capture.rows(["frame.number"]), [], "nothing came to vm4");
    });
    const after = await fixture.counters("a");
    assert.equal(dropsOf(after, "ttl-exceeded") - dropsOf(before, "ttl-exceeded"), 3);
    assert.equal(dropsOf(after, "reply-rate-limited"), dropsOf(before, "reply-rate-limited"));
  });

  test(`S10: ${title} with two hops left arrives`, LIMIT, async () => {
    const { stdout } = await fixture.run("vm1", "ping", "-c", "1", "-W", "1", "-t", "2", to);
    assert.match(stdout, / 1 received/);
  });
}
