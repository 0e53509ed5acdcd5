/**
 * S57: packets that are handed over in the middle of the pipeline, at every stage that can be
 * placed, arrive as if they never were. (virtual/placement.test.ts has random networks.)
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exampleLab, stageGrowth, useLab } from "../lab-fixture.ts";

const LIMIT = { timeout: 40_000 };
const fixture = useLab("s57", { lab: exampleLab, workers: 2 });

const PLACEMENTS: Readonly<Record<string, Readonly<Record<string, object>>>> = {
  "rules at another chassis": { acl: { chassis: "b" } },
  "load balancing at another worker": { "load-balancing": { worker: 1 } },
  "routing at another chassis": { routing: { chassis: "b" } },
  "everything elsewhere": {
    ...{ acl: { chassis: "b" }, "load-balancing": { chassis: "c" }, routing: { chassis: "b" } },
    ...{ nat: { worker: 0 }, "egress-acl": { worker: 1 } },
  },
};

async function place(chassis: string, placement: object | null): Promise<void> {
  const { client } = fixture.running.chassis[0]!.process;
  const path = `/v1/chassis/${chassis}/dataplane`;
  const { status } =
    placement === null
      ? await client.request("DELETE", path)
      : await client.request("PUT", path, { body: { placement } });
  assert.ok(status < 300, `status ${status}`);
  await fixture.running.settled();
}

for (const [what, placement] of Object.entries(PLACEMENTS)) {
  test(`S57: ${what}: ping and TCP over two chassis`, LIMIT, async () => {
    await place("a", placement);
    const before = await fixture.counters("b");
    for (const to of ["10.0.2.10", "fd00:0:0:2::10", "10.0.1.11"]) {
      const ping = await fixture.run("vm1", "ping", "-c", "3", "-i", "0.25", "-W", "2", to);
      assert.equal(ping.code, 0, `${to}\n${ping.stdout}`);
    }
    const hop = await fixture.run("vm1", "ping", "-c", "1", "-t", "1", "-W", "2", "10.0.2.10");
    assert.match(hop.stdout, /Time to live exceeded/, "the router answers from where it runs");
    const [vm1] = [await fixture.agent("vm1"), await fixture.agent("vm4")];
    const { ok, detail } = await vm1.ask({ op: "tcp", to: "10.0.2.10", size: 2_000_000 });
    assert.ok(ok, detail);
    const grown = stageGrowth(before, await fixture.counters("b"));
    const elsewhere = JSON.stringify(placement).includes('"b"');
    const ran = grown.slice(2, 8).reduce((sum, packets) => sum + packets, 0);
    assert.equal(ran > 0, elsewhere, `stages of b: ${grown}`);
    await place("a", null);
  });
}

test("S57: a place that is not there is refused by name", LIMIT, async () => {
  const { client } = fixture.running.chassis[0]!.process;
  const body = { placement: { acl: { chassis: "nowhere" }, nat: { worker: 9 } } };
  const answer = await client.request("PUT", "/v1/chassis/a/dataplane", { body });
  assert.equal(answer.status >= 400 && answer.status < 500, true);
  const text = JSON.stringify(answer.body);
  assert.match(text, /placement\/acl\/chassis/);
  assert.match(text, /placement\/nat\/worker/);
});
