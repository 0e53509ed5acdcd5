/**
 * S60: the chassis are split into two sides that do not hear each other, and both sides change what
 * the other one has. Forwarding does not notice, each side says who is silent, and when they hear
 * each other again all come to one result, the same every time: nothing that was written is
 * missing, and nothing that was deleted comes back.
 *
 * `npm run faults` has the same with a split of a minute.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { succeeded } from "@rhone/cli/rest-client";
import { run } from "@rhone/cli/run";
import { runtimeCommand, scriptPath } from "@rhone/cli/runtime";
import {
  heal,
  memberOf,
  split,
  untilMissed,
  untilNats,
  untilSameRules,
  untilWhole,
} from "../faults/partition.ts";
import { socketLosses, withFlows } from "../flows.ts";
import { useLab } from "../lab-fixture.ts";
import { hitsOf, type RuleSpec, setRules } from "../rules.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 150_000 };
/** In which a chassis tells the others twice what it has. */
const TOLD_TWICE_MS = 2500;
/** In which packets cross between the sides after both have changed. */
const FORWARDED_MS = 500;
const WORKLOADS = ["vm1", "vm2", "vm3"];
const LOAD = { from: "vm1", to: ["10.0.1.11", "10.0.1.12"], flows: 50, rate: 1000 };
const lab = labOf({
  name: "s60",
  chassis: ["a", "b", "c"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "b", addresses: ["10.0.1.11"] },
    { name: "vm3", switch: "s", chassis: "c", addresses: ["10.0.1.12"] },
  ],
});
const fixture = useLab("s60", { lab });
const rule = (name: string, fields: Partial<RuleSpec> = {}): RuleSpec => ({
  ...{ name, switch: "s", direction: "to-port", priority: 10, action: "drop" },
  match: { protocol: "udp", destinationPorts: "4000" },
  ...fields,
});
/** That one side is ahead of the other: more than the generations of tables that it holds. */
const CHANGES = 8;
/** A rule of each side drops the datagrams to one of them. */
const RIGHT_PORT = 4343;
const LEFT_PORT = 4242;

/** Writes a rule at one chassis; returns the clock number of the change. */
async function put(chassis: string, spec: RuleSpec): Promise<number> {
  const { client } = fixture.chassis(chassis);
  const body = { kind: "acl", ...spec };
  const path = `/v1/acls/${spec.name}?wait=local`;
  return succeeded(await client.request("PUT", path, { body })).revision;
}

async function remove(chassis: string, name: string): Promise<number> {
  const { client } = fixture.chassis(chassis);
  return succeeded(await client.request("DELETE", `/v1/acls/${name}`)).revision;
}

async function priorityOf(chassis: string, name: string): Promise<number | null> {
  const { status, body } = await fixture.chassis(chassis).client.request("GET", `/v1/acls/${name}`);
  return status === 404 ? null : (body as RuleSpec).priority;
}

/** What `rhone cluster status` prints at a chassis, where not all is well. */
async function status(chassis: string): Promise<string> {
  const server = fixture.chassis(chassis).client.server;
  const command = [...runtimeCommand("node"), scriptPath("./main.ts"), "--server", server];
  const { code, stdout } = await run([...command, "cluster", "status"]);
  assert.equal(code, 1, stdout);
  return stdout;
}

/**
 * Each side changes what the other has, and what it changes itself is in force there. Returns the
 * priority that all have to agree on for the rule that both have changed.
 */
async function changeBothSides(): Promise<number> {
  await put("a", rule("left", { match: { protocol: "udp", destinationPorts: LEFT_PORT } }));
  await put("c", rule("right", { match: { protocol: "udp", destinationPorts: RIGHT_PORT } }));
  // Also for what comes from the other side, which has not heard of it.
  await assertInForce();
  for (let i = 0; i < CHANGES; i++) await put("c", rule("often", { priority: i }));
  await remove("a", "gone");
  const [foughtLeft, foughtRight] = [
    await put("b", rule("fought", { priority: 20 })),
    await put("c", rule("fought", { priority: 30 })),
  ];
  await put("a", rule("closing", { priority: 40 }));
  await remove("c", "closing");
  await put("a", rule("opening", { priority: 40, action: "allow" }));
  await remove("c", "opening");
  // The later one wins, and of two with the same number the one of the greater name.
  return foughtRight >= foughtLeft ? 30 : 20;
}

async function assertInForce(): Promise<void> {
  const tool = import.meta.resolve("../udp-tool.ts");
  for (const [port, chassis, name] of [
    [LEFT_PORT, "b", "left"],
    [RIGHT_PORT, "c", "right"],
  ] as const) {
    const to = chassis === "b" ? "10.0.1.11" : "10.0.1.12";
    const hits = () => hitsOf(fixture, chassis, name);
    // Sent again, as a busy machine may lose some.
    await until(`${chassis} drops by rule ${name}`, async () => {
      await fixture.script("vm1", tool, ["send", to, String(port), "10", "1"]);
      return (await hits()) >= 10;
    });
  }
}

test("S60: two sides that do not hear each other come to one result", LIMIT, async (t) => {
  await Promise.all(WORKLOADS.map((workload) => fixture.agent(workload)));
  const opening = rule("opening", { action: "allow" });
  await setRules(fixture, [rule("gone"), rule("fought"), rule("closing"), opening]);
  await untilNats(fixture);
  await untilWhole(fixture);
  const lostBefore = await socketLosses(fixture, WORKLOADS);
  const { sent, received, tcp } = await withFlows(fixture, LOAD, async () => {
    await split(fixture, ["a", "b"], ["c"]);
    const noticedMs = await untilMissed(fixture.chassis("a"), "c", ["dead"]);
    await untilMissed(fixture.chassis("c"), "a", ["suspect", "dead"]);
    await untilMissed(fixture.chassis("c"), "b", ["suspect", "dead"]);
    const [left, right] = await Promise.all([status("a"), status("c")]);
    assert.match(left, /^b .* alive/m);
    assert.match(left, /c is dead for .*: nobody gets an answer; last heard .* ago/);
    assert.match(right, /a is (suspect|dead) for .*; last heard .* ago/);
    assert.match(right, /b is (suspect|dead) for .*; last heard .* ago/);
    const fought = await changeBothSides();
    await sleep(FORWARDED_MS);
    assert.equal(await priorityOf("c", "gone"), 10, "the other side has not heard of it");
    const { state } = await memberOf(fixture.chassis("a"), "c");
    await heal(fixture);
    const sameMs = await untilSameRules(fixture);
    const wholeMs = await untilWhole(fixture);
    t.diagnostic(
      `noticed after ${noticedMs.toFixed(0)} ms; what a knew of c was ${state?.ageMs} ms old; ` +
        `the same ${sameMs.toFixed(0)} ms after the end, all well ${wholeMs.toFixed(0)} ms later`,
    );
    await sleep(TOLD_TWICE_MS);
    for (const chassis of ["a", "b", "c"]) {
      assert.equal(await priorityOf(chassis, "gone"), null, `${chassis}: a delete stays`);
      assert.equal(await priorityOf(chassis, "left"), 10, chassis);
      assert.equal(await priorityOf(chassis, "right"), 10, chassis);
      assert.equal(await priorityOf(chassis, "fought"), fought, chassis);
      // Whoever deletes a rule that closes something has to have seen it as it is.
      assert.equal(await priorityOf(chassis, "closing"), 40, chassis);
      assert.equal(await priorityOf(chassis, "opening"), null, chassis);
    }
  });
  const missed = (await socketLosses(fixture, WORKLOADS)) - lostBefore;
  assert.equal(received + missed, sent, "forwarding does not notice");
  for (const { failure } of tcp) assert.equal(failure, "");
});
