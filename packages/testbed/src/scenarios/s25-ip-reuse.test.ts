/**
 * S25: vm1 is deleted and its address goes to vm9, on the other chassis and with other labels.
 * Nothing that vm9 sends is judged as vm1's: not in flows that look like vm1's to the last bit, nor
 * as answers in a connection that was opened to vm1.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { succeeded } from "@rhone/cli/rest-client";
import { dropsOf, useLab } from "../lab-fixture.ts";
import { hitsOf, type RuleSpec, setRules } from "../rules.ts";
import { withStreams } from "../streams.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 120_000 };
const ADDRESS = "10.0.1.10";
const VM2 = "10.0.1.11";
const [PUSHED, ASKED] = ["5001", "5002"];
const [FROM, ASKER] = ["40001", "40002"];
const vm1 = { name: "vm1", switch: "s", chassis: "a", addresses: [ADDRESS] };
const vm9 = { name: "vm9", switch: "s", chassis: "b", addresses: ["10.0.1.19"] };
const TRUSTED = { trust: "high" };
const lab = labOf({
  name: "s25",
  chassis: ["a", "b"],
  ports: [
    { ...vm1, labels: TRUSTED },
    { name: "vm2", switch: "s", chassis: "a", addresses: [VM2] },
    { ...vm9, labels: { trust: "none" } },
  ],
});
const fixture = useLab("s25", { lab });

/** vm2 speaks with who is trusted, whoever begins. */
const RULES: readonly RuleSpec[] = [
  {
    ...{ name: "allow-in", switch: "s", port: "vm2", direction: "to-port", priority: 10 },
    ...{ match: { protocol: "udp", sourceLabels: TRUSTED }, action: "allow" },
  },
  {
    ...{ name: "allow-out", switch: "s", port: "vm2", direction: "from-port", priority: 10 },
    ...{ match: { protocol: "udp", destinationLabels: TRUSTED }, action: "allow" },
  },
  ...(["from-port", "to-port"] as const).map((direction): RuleSpec => {
    const name = `deny-${direction}`;
    return { name, switch: "s", port: "vm2", direction, priority: 0, match: {}, action: "drop" };
  }),
];

/** In force everywhere when it resolves. */
async function write(chassis: string, method: string, name: string, port?: object): Promise<void> {
  const path = `/v1/ports/${name}?wait=applied&timeout=20000`;
  const body = port === undefined ? {} : { body: { ...port, device: name } };
  succeeded(await fixture.chassis(chassis).client.request(method, path, body));
}

test("S25: an address that goes to another workload takes none of the rights along", LIMIT, () =>
  withStreams(fixture, async (start) => {
    await setRules(fixture, RULES);
    const pushed = await start("vm2", "answer", PUSHED);
    const asking = await start("vm2", "ask", ASKER, ADDRESS, ASKED);
    const [sender, answerer] = [
      await start("vm1", "send", FROM, VM2, PUSHED),
      await start("vm1", "answer", ASKED),
    ];
    await Promise.all([pushed.receives(20), asking.receives(20)]);
    await Promise.all([sender.kill(), answerer.kill()]);

    await write("a", "DELETE", "vm1");
    await write("b", "PUT", "vm9", { ...vm9, addresses: [ADDRESS], labels: { trust: "none" } });
    await fixture.run("vm9", "ip", "address", "flush", "dev", "eth0", "scope", "global");
    await fixture.run("vm9", "ip", "address", "add", `${ADDRESS}/24`, "dev", "eth0");
    const [before, blocked] = [
      [(await pushed.counts()).received, (await asking.counts()).received],
      dropsOf(await fixture.counters("a"), "acl-blocked"),
    ];
    const [denied, allowed] = [await hits("deny-to-port"), await hits("allow-in")];
    // The same five words in every header: what vm1 pushed, and its answers.
    await start("vm9", "send", FROM, VM2, PUSHED);
    await start("vm9", "send", ASKED, VM2, ASKER);
    await until("vm9's are dropped", async () => (await hits("deny-to-port")) > denied + 50);
    await until("its answers are", async () => {
      return dropsOf(await fixture.counters("a"), "acl-blocked") > blocked + 50;
    });
    const after = [(await pushed.counts()).received, (await asking.counts()).received];
    assert.deepEqual(after, before);
    assert.equal(await hits("allow-in"), allowed);

    // With labels of its own that are trusted, it may.
    await write("b", "PUT", "vm9", { ...vm9, addresses: [ADDRESS], labels: TRUSTED });
    await Promise.all([pushed.receives(20), asking.receives(20)]);
  }),
);

const hits = (rule: string): Promise<number> => hitsOf(fixture, "a", rule);
