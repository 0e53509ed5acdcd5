/**
 * S24: a workload gets other labels while it talks, on two chassis. Once the change is applied
 * everything is judged by the new ones: what begins, what has long been on its way, and connections
 * in which only answers still run. In between nothing passes that neither set of labels allows.
 *
 *     vm1 on a, client, partner or neither      to vm2 on b:  5001 from clients
 *                                                             5003 from partners
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { succeeded } from "@rhone/cli/rest-client";
import type { Identity } from "@rhone/state/identities";
import { IDENTITY_INIT } from "@rhone/state/reserved-identities";
import { dropsOf, useLab } from "../lab-fixture.ts";
import { withPortFlows } from "../port-flows.ts";
import { hitsOf, type RuleSpec, setRules } from "../rules.ts";
import { withStreams } from "../streams.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 120_000 };
const ECHO = 7;
const [CLIENTS, NOBODY, PARTNERS, ANSWERS] = [5001, 5002, 5003, 5004];
/** Bytes, far more than pass while a label changes. */
const LONG = 200_000_000;
const VM2 = "10.0.1.11";
const vm1 = { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] };
const lab = labOf({
  name: "s24",
  chassis: ["a", "b"],
  ports: [
    { ...vm1, labels: { role: "client" } },
    { name: "vm2", switch: "s", chassis: "b", addresses: [VM2], labels: { role: "server" } },
  ],
});
const fixture = useLab("s24", { lab });

type Role = "client" | "partner" | null;
const ROLES: readonly Role[] = ["client", "partner", null];
/** Each of the three follows each other one. */
const CHANGES: readonly Role[] = [
  ...(["partner", null, "client", null, "partner", "client"] as const),
  ...(["partner", "client", null, "partner", null, "client"] as const),
];

function allow(role: string, port: number): RuleSpec {
  return {
    ...{ name: `allow-${role}`, switch: "s", port: "vm2", direction: "to-port", priority: 10 },
    match: { protocol: "udp", destinationPorts: port, sourceLabels: { role } },
    action: "allow",
  };
}

const RULES: readonly RuleSpec[] = [
  allow("client", CLIENTS),
  allow("partner", PARTNERS),
  {
    ...{ name: "allow-tcp", switch: "s", port: "vm2", direction: "to-port", priority: 10 },
    match: { protocol: "tcp", sourceLabels: { role: "client" } },
    action: "allow",
  },
  {
    ...{ name: "mark", switch: "s", port: "vm2", direction: "to-port", priority: 10 },
    match: { protocol: "udp", destinationPorts: ECHO },
    action: "drop",
  },
  {
    ...{ name: "deny", switch: "s", port: "vm2", direction: "to-port", priority: 0 },
    ...{ match: {}, action: "reject" },
  },
];

/** In force at both chassis when it resolves, and both know it; told at `chassis`. */
async function relabel(chassis: "a" | "b", role: Role): Promise<void> {
  const labels = role === null ? {} : { role };
  const { client } = fixture.chassis(chassis);
  const body = { ...vm1, kind: "port", device: "vm1", labels };
  succeeded(await client.request("PUT", "/v1/ports/vm1?wait=applied&timeout=20000", { body }));
  const [here, there] = await Promise.all(
    ["a", "b"].map((name) => fixture.chassis(name).client.get<Identity[]>("/v1/identities")),
  );
  assert.deepEqual(there, here);
  const own = here!.find(({ ports }) => ports.includes("vm1"));
  assert.deepEqual(own?.labels, labels);
  assert.equal(own.number === IDENTITY_INIT, role === null);
}

const hits = (rule: string): Promise<number> => hitsOf(fixture, "b", rule);

/**
 * Resolves when what was under way is judged: by the rules in force where it began its way. What is
 * sent now comes behind it.
 */
async function drained(): Promise<void> {
  const before = await hits("mark");
  const agent = await fixture.agent("vm1");
  const asked = agent.ask({ op: "udp", to: VM2, sizes: [100] });
  await until("the mark is judged", async () => (await hits("mark")) > before);
  await asked;
}

/** Resolves when so many more were denied than now: others of the same sender passed meanwhile. */
async function denies(more: number): Promise<void> {
  const before = await hits("deny");
  await until(`${more} packets are denied`, async () => (await hits("deny")) >= before + more);
}

test(
  "S24: each packet is judged by the labels that are in force, old flows too",
  LIMIT,
  async () => {
    await relabel("a", "client");
    await setRules(fixture, RULES);
    await fixture.keepOrder();
    const ports = [CLIENTS, NOBODY, PARTNERS];
    const load = { from: "vm1", to: "vm2", address: VM2, rate: 3000, flows: 50, ports };
    const { sent, received } = await withPortFlows(fixture, load, async () => {
      for (const [i, role] of CHANGES.entries()) {
        await relabel(i % 2 === 0 ? "a" : "b", role);
        await drained();
        const others = ROLES.filter((other) => other !== null && other !== role);
        const before = await Promise.all(others.map((other) => hits(`allow-${other}`)));
        const own = role === null ? 0 : await hits(`allow-${role}`);
        await denies(100);
        if (role !== null) assert.ok((await hits(`allow-${role}`)) > own, `${role}s may pass`);
        const after = await Promise.all(others.map((other) => hits(`allow-${other}`)));
        assert.deepEqual(after, before, `after the change to ${role}`);
      }
    });
    assert.ok(sent[NOBODY]! > 0);
    assert.equal(received[NOBODY], 0, "what no labels allow never passes");
    assert.ok(received[CLIENTS]! > 0 && received[PARTNERS]! > 0);
  },
);

test("S24: a TCP connection ends with the label that let it in", LIMIT, async () => {
  await relabel("a", "client");
  await setRules(fixture, RULES);
  const agent = await fixture.agent("vm1");
  await fixture.agent("vm2");
  const before = await hits("allow-tcp");
  const talking = agent.ask({ op: "tcp", to: VM2, size: LONG });
  await until("it is under way", async () => (await hits("allow-tcp")) > before + 50);
  await relabel("b", "partner");
  const { ok, detail } = await talking;
  assert.equal(ok, false);
  assert.match(detail, /ECONNRESET|EPIPE/);
});

test("S24: where only answers still run, they stop, and come again with the label", LIMIT, () =>
  withStreams(fixture, async (start) => {
    await relabel("a", "client");
    await setRules(fixture, [
      { ...allow("client", ANSWERS), name: "allow-answers" },
      { ...RULES.at(-1)!, action: "drop" },
    ]);
    await start("vm2", "answer", String(ANSWERS));
    const asker = await start("vm1", "ask", "40000", VM2, String(ANSWERS));
    await asker.receives(50);
    await relabel("a", null);
    // What had left vm2's chassis before may still be on its way.
    const blocked = async (): Promise<number> =>
      dropsOf(await fixture.counters("b"), "acl-blocked");
    const atChange = await blocked();
    await until("answers are dropped", async () => (await blocked()) > atChange + 10);
    const { received } = await asker.counts();
    await until("more answers are dropped", async () => (await blocked()) > atChange + 110);
    assert.equal((await asker.counts()).received, received);
    await relabel("b", "client");
    await asker.receives(50);
  }),
);
