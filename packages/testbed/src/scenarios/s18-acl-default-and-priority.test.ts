/** S18: without a rule everything passes; of the rules that match, the first in order decides. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dropsOf, exampleLab as lab, useLab } from "../lab-fixture.ts";
import { hitsOf, type RuleSpec, setRules } from "../rules.ts";

const LIMIT = { timeout: 60_000 };
const fixture = useLab("s18", { lab });
const TO = { IPv4: "10.0.2.10", IPv6: "fd00:0:0:2::10" } as const;

const denyDb: RuleSpec = {
  ...{ name: "deny-db", switch: "db", direction: "to-port", priority: 100 },
  ...{ match: {}, action: "drop" },
};
const allowEcho: RuleSpec = {
  ...{ name: "echo", switch: "db", port: "vm4", direction: "to-port", priority: 200 },
  ...{ match: { protocol: "tcp", destinationPorts: 7 }, action: "allow" },
};

/** Which of ping, TCP and UDP one workload gets through to another. */
async function reach(
  from: string,
  to: string,
): Promise<{ ping: boolean; tcp: boolean; udp: boolean }> {
  const agent = await fixture.agent(from);
  const [ping, tcp, udp] = await Promise.all([
    agent.ask({ op: "ping", arguments: ["-c", "1", "-W", "1", to] }),
    agent.ask({ op: "tcp", to, size: 1000 }),
    agent.ask({ op: "udp", to, sizes: [100] }),
  ]);
  return { ping: ping.ok, tcp: tcp.ok, udp: udp.ok };
}

const ALL = { ping: true, tcp: true, udp: true };
const NOTHING = { ping: false, tcp: false, udp: false };
const TCP_ONLY = { ...NOTHING, tcp: true };

for (const [family, to] of Object.entries(TO)) {
  test(`S18: without rules ${family} passes`, LIMIT, async () => {
    await fixture.agent("vm4");
    await setRules(fixture, []);
    assert.deepEqual(await reach("vm1", to), ALL);
  });

  test(
    `S18: a rule for a switch stops ${family} to its ports, at their chassis`,
    LIMIT,
    async () => {
      await setRules(fixture, [denyDb]);
      const [before, hits] = [await fixture.counters("c"), await hitsOf(fixture, "c", "deny-db")];
      assert.deepEqual(await reach("vm1", to), NOTHING);
      const after = await fixture.counters("c");
      const dropped = dropsOf(after, "acl-drop") - dropsOf(before, "acl-drop");
      assert.ok(dropped >= 3, `${dropped} packets`);
      assert.equal(after.stages[11]!.drops - before.stages[11]!.drops, dropped);
      assert.equal((await hitsOf(fixture, "c", "deny-db")) - hits, dropped);
      assert.equal(await hitsOf(fixture, "a", "deny-db"), 0);
    },
  );

  test(
    `S18: a port's rule of higher priority lets ${family} of its kind through`,
    LIMIT,
    async () => {
      await setRules(fixture, [denyDb, allowEcho]);
      assert.deepEqual(await reach("vm1", to), TCP_ONLY);
      assert.ok((await hitsOf(fixture, "c", "echo")) > 0);
    },
  );

  test(`S18: among equals the name that comes first decides, ${family}`, LIMIT, async () => {
    const first = { ...denyDb, name: "a-deny", priority: 200 };
    await setRules(fixture, [first, allowEcho]);
    assert.deepEqual(await reach("vm1", to), NOTHING);
    await setRules(fixture, [{ ...first, name: "z-deny" }, allowEcho]);
    assert.deepEqual(await reach("vm1", to), TCP_ONLY);
  });

  test(
    `S18: a rule for one port stops ${family} where it comes in, and no other port`,
    LIMIT,
    async () => {
      const denyVm1: RuleSpec = {
        ...{ name: "deny-vm1", switch: "web", port: "vm1", direction: "from-port", priority: 1 },
        ...{ match: {}, action: "drop" },
      };
      await setRules(fixture, [denyVm1]);
      const before = await fixture.counters("a");
      assert.deepEqual(await reach("vm1", to), NOTHING);
      assert.deepEqual(await reach("vm2", to), ALL);
      const after = await fixture.counters("a");
      assert.ok(after.stages[2]!.drops > before.stages[2]!.drops);
    },
  );

  test(
    `S18: answers to what may pass come back through a closed port, ${family}`,
    LIMIT,
    async () => {
      const closeVm1: RuleSpec = {
        ...{ name: "close-vm1", switch: "web", port: "vm1", direction: "to-port", priority: 1 },
        ...{ match: {}, action: "drop" },
      };
      await setRules(fixture, [closeVm1]);
      assert.deepEqual(await reach("vm1", to), ALL);
      const back = family === "IPv4" ? "10.0.1.10" : "fd00:0:0:1::10";
      await fixture.agent("vm1");
      assert.deepEqual(await reach("vm4", back), NOTHING);
    },
  );
}

test(
  "S18: a connection that is on its way ends with the rule that let it through",
  LIMIT,
  async () => {
    await setRules(fixture, []);
    const vm1 = await fixture.agent("vm1");
    const pinging = vm1.ask({ op: "ping", arguments: ["-c", "20", "-i", "0.2", TO.IPv4] });
    const before = await fixture.counters("c");
    await setRules(fixture, [denyDb]);
    const { detail } = await pinging;
    const received = Number(/(\d+) received/.exec(detail)?.[1]);
    assert.ok(received < 20, detail);
    const after = await fixture.counters("c");
    assert.ok(dropsOf(after, "acl-drop") - dropsOf(before, "acl-drop") >= 20 - received);
  },
);
