/**
 * S57: packets that are handed over in the middle of the pipeline, at every stage that can be
 * placed, arrive as if they never were. (virtual/placement.test.ts has random networks.)
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type LabFixture, exampleLab as lab, stageGrowth, underWorkers } from "../lab-fixture.ts";

const LIMIT = { timeout: 40_000 };
const TO = ["10.0.2.10", "fd00:0:0:2::10", "10.0.1.11"] as const;

type Placement = Readonly<Record<string, object>>;

/** Places for chassis a; `other` is the last of its workers, which may be the only one. */
const placements = (other: number): Readonly<Record<string, Placement>> => ({
  "rules at another chassis": { acl: { chassis: "b" } },
  "load balancing at another worker": { "load-balancing": { worker: other } },
  "routing at another chassis": { routing: { chassis: "b" } },
  "everything elsewhere": {
    ...{ acl: { chassis: "b" }, "load-balancing": { chassis: "c" }, routing: { chassis: "b" } },
    ...{ nat: { worker: 0 }, "egress-acl": { worker: other } },
  },
});

async function place(fixture: LabFixture, placement: Placement | null): Promise<void> {
  const { client } = fixture.running.chassis[0]!.process;
  const path = "/v1/chassis/a/dataplane";
  const { status } =
    placement === null
      ? await client.request("DELETE", path)
      : await client.request("PUT", path, { body: { placement } });
  assert.ok(status < 300, `status ${status}`);
  await fixture.running.settled();
}

underWorkers("s57", [1, 2, 4], { lab }, (fixture, workers) => {
  for (const [what, placement] of Object.entries(placements(workers - 1))) {
    test(`S57: ${what}: ping and TCP over two chassis`, LIMIT, async () => {
      await place(fixture, placement);
      const before = await fixture.counters("b");
      const pinged = TO.map((to) =>
        fixture.run("vm1", "ping", "-c", "3", "-i", "0.1", "-W", "2", to),
      );
      for (const { code, stdout } of await Promise.all(pinged)) assert.equal(code, 0, stdout);
      const hop = await fixture.run("vm1", "ping", "-c", "1", "-t", "1", "-W", "2", "10.0.2.10");
      assert.match(hop.stdout, /Time to live exceeded/, "the router answers from where it runs");
      const [vm1] = await Promise.all(["vm1", "vm4"].map((name) => fixture.agent(name)));
      const { ok, detail } = await vm1!.ask({ op: "tcp", to: "10.0.2.10", size: 2_000_000 });
      assert.ok(ok, detail);
      const grown = stageGrowth(before, await fixture.counters("b"));
      const elsewhere = JSON.stringify(placement).includes('"b"');
      const ran = grown.slice(2, 8).reduce((sum, packets) => sum + packets, 0);
      assert.equal(ran > 0, elsewhere, `stages of b: ${grown}`);
      await place(fixture, null);
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
});
