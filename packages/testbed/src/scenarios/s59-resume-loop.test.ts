/**
 * S59: configurations that would bounce packets between three chassis.
 *
 * Places that point at each other cannot: only the chassis that has a packet's port sends it away
 * (docs/decisions/0009), so every stage runs once, wherever. Routers that point at each other are
 * stopped within the stage. What is left are chassis that disagree, while they cannot talk, about
 * who has a port, and would send its packets home to each other: that is what hand-offs are counted
 * for. None of it hurts what flows beside it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CountersView } from "@rhone/api/context";
import { type Answer, succeeded } from "@rhone/cli/rest-client";
import { runOrThrow } from "@rhone/cli/run";
import { withCapture } from "../capture.ts";
import { dropsOf, type LabFixture, stageGrowth, underWorkers } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { readTunnel, TUNNEL_FILTER, type TunnelPacket } from "../tunnel.ts";

const LIMIT = { timeout: 60_000 };
const CHASSIS = ["a", "b", "c"] as const;
const DATAGRAMS = 20;
/** docs/pipeline.md, "The stamp". */
const HAND_OFFS_MAX = 10;
/** Of a packet all of whose stages that can be are elsewhere: 2, 5, 7, 8, 9, 10, 11 and 13. */
const HAND_OFFS_OF_ALL = 8;
/** Where a packet is brought home to, to have its connection committed. */
const STATEFUL = 5;
const DISAGREE_ATTEMPTS = 2000;
const AGREED_MS = 15_000;
const POLL_MS = 20;
/** For what is still under way. */
const SILENCE_MS = 300;

/** Wherever its chassis is said to be. */
const VM1 = { switch: "s", addresses: ["10.0.1.10"], device: "vm1" } as const;
const VM2 = { switch: "s", chassis: "a", addresses: ["10.0.1.11"], device: "vm2" } as const;
const lab = labOf({
  name: "s59",
  chassis: CHASSIS,
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "a", addresses: ["10.0.1.11"] },
    { name: "vm3", switch: "s", chassis: "c", addresses: ["10.0.1.12"] },
    { name: "vm4", switch: "t", chassis: "c", addresses: ["10.0.2.10"] },
  ],
  routers: [
    {
      name: "r1",
      ports: [
        { name: "r1-s", switch: "s", addresses: ["10.0.1.1/24"] },
        { name: "r1-t", switch: "t", addresses: ["10.0.2.1/24"] },
      ],
      routes: [{ prefix: "10.9.0.0/16", nextHop: "10.0.2.2" }],
    },
    {
      name: "r2",
      ports: [{ name: "r2-t", switch: "t", addresses: ["10.0.2.2/24"] }],
      routes: [{ prefix: "10.9.0.0/16", nextHop: "10.0.2.1" }],
    },
  ],
});

/** Every stage that can be is at the next chassis, and at the next one there. */
const CIRCLES: Readonly<Record<(typeof CHASSIS)[number], object>> = {
  a: placesAt("b", "c"),
  b: placesAt("c", "a"),
  c: placesAt("b", "a"),
};

function placesAt(one: string, other: string): object {
  const [here, there] = [{ chassis: one }, { chassis: other }];
  const ingress = { acl: here, "load-balancing": there, routing: here };
  return { ...ingress, nat: there, "egress-acl": here };
}

const clientOf = (fixture: LabFixture, chassis: string) =>
  fixture.running.chassis.find(({ process }) => process.name === chassis)!.process.client;

/** Resolves when the chassis that is asked runs it. */
async function put(fixture: LabFixture, at: string, path: string, body: object): Promise<Answer> {
  return succeeded(await clientOf(fixture, at).request("PUT", `${path}?wait=local`, { body }));
}

async function placeInCircles(fixture: LabFixture): Promise<void> {
  for (const name of CHASSIS) {
    await put(fixture, name, `/v1/chassis/${name}/dataplane`, { placement: CIRCLES[name] });
  }
  await fixture.running.settled();
}

const countersOf = (fixture: LabFixture): Promise<CountersView[]> =>
  Promise.all(CHASSIS.map((name) => fixture.counters(name)));

/** How many packets each chassis has dropped for a reason between two looks. */
const dropped = (before: readonly CountersView[], after: readonly CountersView[], reason: string) =>
  CHASSIS.map((_, i) => dropsOf(after[i]!, reason) - dropsOf(before[i]!, reason));

function send(fixture: LabFixture, to: string): Promise<string> {
  const tool = import.meta.resolve("../udp-tool.ts");
  return fixture.script("vm1", tool, ["send", to, "9", "1", String(DATAGRAMS)]);
}

/** What crosses the underlay while `body` runs. */
function crossings(
  fixture: LabFixture,
  body: () => Promise<unknown>,
): Promise<readonly TunnelPacket[]> {
  const namespace = fixture.running.namespaceOf("underlay");
  const underlay = { namespace, device: "bridge", filter: TUNNEL_FILTER };
  return withCapture(underlay, body, readTunnel);
}

/** Nothing of other traffic is lost while `body` runs. */
async function unhurt(fixture: LabFixture, body: () => Promise<unknown>): Promise<void> {
  const argv = ["-c", "10", "-i", "0.1", "-W", "2"];
  const pinged = ["10.0.1.12", "10.0.2.10"].map((to) => fixture.run("vm2", "ping", ...argv, to));
  await body();
  for (const { stdout } of await Promise.all(pinged)) {
    assert.match(stdout, / 10 received, 0% packet loss/);
  }
}

/** While `body` runs, the chassis cannot talk to each other; tunnels still work. */
async function apart(fixture: LabFixture, body: () => Promise<unknown>): Promise<void> {
  const rule = async (verb: "add" | "delete"): Promise<void> => {
    const what = ["priority", "100", "to", "192.168.100.0/24", "ipproto", "tcp", "blackhole"];
    for (const { process } of fixture.running.chassis) {
      await runOrThrow(["ip", "-netns", process.namespace, "rule", verb, ...what]);
    }
  };
  await rule("add");
  await body().finally(() => rule("delete"));
}

/**
 * a has vm1, and its rules are at b; b says that c has it, and c says that b has, under the same
 * generation, so that each runs the other's packets under what it says itself. A generation is
 * numbered by the clock in milliseconds, so it takes some attempts, whose count is returned. That
 * of a is a later one.
 */
async function disagree(fixture: LabFixture): Promise<number> {
  for (let attempt = 0; attempt < DISAGREE_ATTEMPTS; attempt++) {
    const labels = { attempt: String(attempt) };
    const write = (at: string, chassis: string): Promise<Answer> => {
      const body = { ...VM1, labels, chassis };
      return clientOf(fixture, at).request("PUT", "/v1/ports/vm1", { body }).then(succeeded);
    };
    const [b, c] = await Promise.all([write("b", "c"), write("c", "b")]);
    if (b.revision !== c.revision) continue;
    await put(fixture, "a", "/v1/ports/vm2", { ...VM2, labels });
    for (const name of ["b", "c"]) {
      succeeded(await clientOf(fixture, name).request("GET", "/v1/convergence?wait=local"));
    }
    return attempt + 1;
  }
  assert.fail(`two writes had different clocks ${DISAGREE_ATTEMPTS} times`);
}

/** The chassis have talked, and say the same of vm1: that it is not at a. */
async function agreed(fixture: LabFixture): Promise<void> {
  const deadline = performance.now() + AGREED_MS;
  for (;;) {
    const asked = CHASSIS.map((name) =>
      clientOf(fixture, name).get<{ chassis: string }>("/v1/ports/vm1"),
    );
    const said = new Set((await Promise.all(asked)).map(({ chassis }) => chassis));
    if (said.size === 1 && !said.has("a")) return;
    assert.ok(performance.now() < deadline, `they say ${[...said].join(", ")}`);
    await sleep(POLL_MS);
  }
}

underWorkers("s59", [1, 2, 4], { lab }, (fixture) => {
  test("S59: places in a circle: every stage runs once, and the answer comes", LIMIT, async () => {
    await placeInCircles(fixture);
    await fixture.silence();
    const [vm1] = await Promise.all([fixture.agent("vm1"), fixture.agent("vm4")]);
    const talk = async (count: number): Promise<void> => {
      const sizes = new Array<number>(count).fill(500);
      const { ok, detail } = await vm1.ask({ op: "udp", to: "10.0.2.10", sizes });
      assert.ok(ok, detail);
    };
    await talk(1); // The workloads know the router now.
    await sleep(SILENCE_MS);
    const before = await countersOf(fixture);
    const packets = await crossings(fixture, () => talk(DATAGRAMS));
    const after = await countersOf(fixture);
    const grown = after.map((counters, i) => stageGrowth(before[i]!, counters));
    const ran = grown[0]!.map((_, stage) => grown.reduce((sum, each) => sum + each[stage]!, 0));
    assert.deepEqual(ran, new Array(16).fill(2 * DATAGRAMS), "there and back");
    assert.equal(packets.length, 2 * DATAGRAMS * HAND_OFFS_OF_ALL);
    const least = Math.min(...packets.map(({ handOffsLeft }) => handOffsLeft));
    assert.equal(least, HAND_OFFS_MAX - HAND_OFFS_OF_ALL);
  });

  test("S59: routers in a circle: stopped by name, and nothing else is", LIMIT, async () => {
    await placeInCircles(fixture);
    const before = await countersOf(fixture);
    await unhurt(fixture, () => send(fixture, "10.9.0.1"));
    const after = await countersOf(fixture);
    assert.deepEqual(dropped(before, after, "router-loop"), [0, DATAGRAMS, 0]);
    assert.deepEqual(dropped(before, after, "stamp-hand-offs"), [0, 0, 0]);
  });

  test("S59: chassis that disagree: stopped by the limit of hand-offs", LIMIT, async (t) => {
    await placeInCircles(fixture);
    await apart(fixture, async () => {
      t.diagnostic(`attempts: ${await disagree(fixture)}`);
      const before = await countersOf(fixture);
      let packets: readonly TunnelPacket[] = [];
      await unhurt(fixture, async () => {
        packets = await crossings(fixture, () => send(fixture, "10.0.1.12"));
      });
      const after = await countersOf(fixture);
      // From a to b and from there to c, until none is left at c.
      assert.deepEqual(dropped(before, after, "stamp-hand-offs"), [0, 0, DATAGRAMS]);
      // What crosses for stage 5 as its third time or later is on its way in a circle.
      const left = Array.from({ length: HAND_OFFS_MAX - 2 }, (_, left) => left);
      const circling = packets.filter(({ stage }) => stage === STATEFUL);
      const crossed = left.map((n) => circling.filter((p) => p.handOffsLeft === n).length);
      assert.deepEqual(crossed, new Array(HAND_OFFS_MAX - 2).fill(DATAGRAMS));
    });
    await agreed(fixture);
    await put(fixture, "a", "/v1/ports/vm1", { ...VM1, chassis: "a" });
    await fixture.running.settled();
    const { stdout } = await fixture.run("vm1", "ping", "-c", "3", "-i", "0.1", "10.0.1.12");
    assert.match(stdout, / 3 received/);
  });
});
