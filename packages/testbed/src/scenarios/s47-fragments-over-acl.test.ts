/**
 * S47: all fragments of a packet get the verdict of the first one, which has the ports, and meet at
 * the workers that own them and their flow, whatever these are.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dropsOf, exampleLab as lab, underWorkers } from "../lab-fixture.ts";
import { type RuleSpec, setRules } from "../rules.ts";

const LIMIT = { timeout: 40_000 };
const SIZES = [8000, 3000, 1500, 8000];
const TO = ["10.0.2.10", "fd00:0:0:2::10"] as const;
/** Of a datagram of 8000 bytes, over IPv4 as over IPv6. */
const FRAGMENTS = 6;

const deny: RuleSpec = {
  ...{ name: "deny", switch: "db", direction: "to-port", priority: 100 },
  ...{ match: { protocol: "udp" }, action: "drop" },
};
const echo: RuleSpec = {
  ...{ name: "echo", switch: "db", port: "vm4", direction: "to-port", priority: 200 },
  ...{ match: { protocol: "udp", destinationPorts: 7 }, action: "allow" },
};

underWorkers("s47", [1, 2, 4], { lab }, (fixture) => {
  test("S47: datagrams of 8 KB pass a rule for their port, and their answers", LIMIT, async () => {
    await setRules(fixture, [deny, echo]);
    const [vm1] = await Promise.all(["vm1", "vm4"].map((name) => fixture.agent(name)));
    for (const to of TO) {
      const { ok, detail } = await vm1!.ask({ op: "udp", to, sizes: SIZES });
      assert.ok(ok, detail);
    }
    assert.equal(dropsOf(await fixture.counters("c"), "fragment-orphan"), 0);
  });

  test("S47: without it none of their fragments pass", LIMIT, async () => {
    await setRules(fixture, [deny]);
    const vm1 = await fixture.agent("vm1");
    const before = await fixture.counters("c");
    const asked = TO.map((to) => vm1.ask({ op: "udp", to, sizes: [8000] }));
    for (const { ok } of await Promise.all(asked)) assert.equal(ok, false);
    const after = await fixture.counters("c");
    const dropped = dropsOf(after, "acl-drop") - dropsOf(before, "acl-drop");
    assert.ok(dropped >= TO.length * FRAGMENTS, `expected every fragment, got ${dropped}`);
    assert.equal(dropsOf(after, "fragment-orphan"), dropsOf(before, "fragment-orphan"));
  });
});
