/** S20: the sender of a rejected packet is told at once, wherever the rule stands. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { withCapture } from "../capture.ts";
import { dropsOf, exampleLab as lab, useLab } from "../lab-fixture.ts";
import { type RuleSpec, setRules } from "../rules.ts";

const LIMIT = { timeout: 60_000 };
/** Bytes, far more than pass while a rule is made. */
const LONG = 200_000_000;
/** Packets after which a connection is established for sure. */
const UNDER_WAY = 20;
const POLL_MS = 10;
const fixture = useLab("s20", { lab });
const VM1 = { mac: "02:00:00:00:01:10", router: "02:00:00:00:01:01" }; // labs/web-db.yaml

const FAMILIES = [
  { title: "IPv4", to: "10.0.2.10", fields: ["icmp.type", "icmp.code"], unreachable: "3 3" },
  {
    title: "IPv6",
    to: "fd00:0:0:2::10",
    fields: ["icmpv6.type", "icmpv6.code"],
    unreachable: "1 4",
  },
];
const RULES: readonly (readonly [string, string, RuleSpec])[] = [
  [
    ...(["from the sender's port", "a"] as const),
    {
      ...{ name: "reject", switch: "web", port: "vm1", direction: "from-port", priority: 1 },
      ...{ match: {}, action: "reject" },
    },
  ],
  [
    ...(["to the receiver's port, on another chassis", "c"] as const),
    {
      ...{ name: "reject", switch: "db", direction: "to-port", priority: 1 },
      ...{ match: {}, action: "reject" },
    },
  ],
];

for (const { title, to, fields, unreachable } of FAMILIES) {
  for (const [where, chassis, rule] of RULES) {
    test(`S20: TCP over ${title} is refused, rejected ${where}`, LIMIT, async () => {
      const [vm1] = [await fixture.agent("vm1"), await fixture.agent("vm4")];
      await setRules(fixture, [rule]);
      const before = await fixture.counters(chassis);
      const { ok, detail } = await vm1.ask({ op: "tcp", to, size: 10 });
      assert.equal(ok, false);
      assert.match(detail, /ECONNREFUSED/);
      const after = await fixture.counters(chassis);
      assert.equal(dropsOf(after, "acl-reject") - dropsOf(before, "acl-reject"), 1);
    });

    test(`S20: UDP over ${title} gets port unreachable, rejected ${where}`, LIMIT, async () => {
      const vm1 = await fixture.agent("vm1");
      await setRules(fixture, [rule]);
      const options = { namespace: fixture.running.namespaceOf("vm1"), device: "eth0", filter: "" };
      const send = (): Promise<unknown> => vm1.ask({ op: "udp", to, sizes: [100] });
      await withCapture(options, send, async (capture) => {
        const version = title === "IPv4" ? "ip" : "ipv6";
        const columns = ["eth.src", "eth.dst", `${version}.src`, ...fields];
        const rows = await capture.rows(columns, `${fields[0]} == ${unreachable[0]}`);
        // Of addresses, the quoted packet's come second.
        const answers = rows.map((row) => row.map((cell) => cell.split(",")[0]).join(" "));
        assert.deepEqual(answers, [`${VM1.router} ${VM1.mac} ${to} ${unreachable}`]);
      });
    });

    test(`S20: ping over ${title} says so, rejected ${where}`, LIMIT, async () => {
      await setRules(fixture, [rule]);
      const { stdout } = await fixture.run("vm1", "ping", "-n", "-c", "2", "-i", "0.2", to);
      assert.match(stdout, new RegExp(`^From ${to} .*unreachable`, "im"));
      assert.match(stdout, / 0 received, \+2 errors/);
    });
  }
}

test("S20: a connection that is on its way is reset", LIMIT, async () => {
  await setRules(fixture, []);
  const vm1 = await fixture.agent("vm1");
  const passed = async (): Promise<number> => (await fixture.counters("c")).stages[11]!.packets;
  const before = await passed();
  const talking = vm1.ask({ op: "tcp", to: "10.0.2.10", size: LONG });
  while ((await passed()) < before + UNDER_WAY) await sleep(POLL_MS);
  await setRules(fixture, [RULES[1]![2]]);
  const { ok, detail } = await talking;
  assert.equal(ok, false);
  assert.match(detail, /ECONNRESET|EPIPE/);
});
