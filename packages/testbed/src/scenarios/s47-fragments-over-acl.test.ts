/**
 * S47: all fragments of a packet get the verdict of the first one, which has the ports, and meet at
 * the workers that own them and their flow, whatever these are.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dropsOf, exampleLab as lab, useLab } from "../lab-fixture.ts";
import { type RuleSpec, setRules } from "../rules.ts";

const LIMIT = { timeout: 40_000 };
const SIZES = [8000, 3000, 1500, 8000];
const fixture = useLab("s47", { lab, workers: 2 });
const TO = { IPv4: "10.0.2.10", IPv6: "fd00:0:0:2::10" } as const;

const deny: RuleSpec = {
  ...{ name: "deny", switch: "db", direction: "to-port", priority: 100 },
  ...{ match: { protocol: "udp" }, action: "drop" },
};
const echo: RuleSpec = {
  ...{ name: "echo", switch: "db", port: "vm4", direction: "to-port", priority: 200 },
  ...{ match: { protocol: "udp", destinationPorts: 7 }, action: "allow" },
};

for (const [family, to] of Object.entries(TO)) {
  test(
    `S47: ${family} datagrams of 8 KB pass a rule for their port, and their answers`,
    LIMIT,
    async () => {
      await setRules(fixture, [deny, echo]);
      const [vm1] = [await fixture.agent("vm1"), await fixture.agent("vm4")];
      const { ok, detail } = await vm1.ask({ op: "udp", to, sizes: SIZES });
      assert.ok(ok, detail);
      const c = await fixture.counters("c");
      assert.equal(dropsOf(c, "fragment-orphan"), 0);
    },
  );

  test(`S47: without it none of their ${family} fragments pass`, LIMIT, async () => {
    await setRules(fixture, [deny]);
    const vm1 = await fixture.agent("vm1");
    const before = await fixture.counters("c");
    const { ok } = await vm1.ask({ op: "udp", to, sizes: [8000] });
    assert.equal(ok, false);
    const after = await fixture.counters("c");
    const dropped = dropsOf(after, "acl-drop") - dropsOf(before, "acl-drop");
    assert.ok(dropped >= 6, `expected all six fragments or more, got ${dropped}`);
    assert.equal(dropsOf(after, "fragment-orphan"), dropsOf(before, "fragment-orphan"));
  });
}
