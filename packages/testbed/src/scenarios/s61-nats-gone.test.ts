/**
 * S61: every nats-server is dead and stays dead. Forwarding does not notice, a change made at one
 * chassis still gets to the others, over the links between them, nobody is taken for dead, and
 * health says what is wrong.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterView, HealthView } from "@rhone/api/context";
import type { RestClient } from "@rhone/cli/rest-client";
import { NatsServers } from "../faults/nats-servers.ts";
import { socketLosses, withFlows } from "../flows.ts";
import { useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";

const LIMIT = { timeout: 120_000 };
/** On a machine that has more to do than this test. */
const SLACK_MS = 10_000;
const POLL_MS = 5;
/** In which a chassis would be found dead. */
const MEMBERSHIP_MS = 5000;
const WORKLOADS = ["vm1", "vm2", "vm3"];
const LOAD = { from: "vm1", to: ["10.0.1.11", "10.0.1.12"], flows: 50, rate: 1000 };
const lab = labOf({
  name: "s61",
  chassis: ["a", "b", "c"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "b", addresses: ["10.0.1.11"] },
    { name: "vm3", switch: "s", chassis: "c", addresses: ["10.0.1.12"] },
  ],
});

const servers = new NatsServers();
before(() => servers.prepare());
const fixture = useLab("s61", { lab });
after(() => servers.dispose());

const clients = () => fixture.running.chassis.map(({ process: { client } }) => client);

/** Milliseconds until the same is true of every chassis. */
async function untilAll(what: string, isTrue: (client: RestClient) => Promise<boolean>) {
  const startMs = performance.now();
  for (const client of clients()) {
    while (!(await isTrue(client))) {
      assert.ok(performance.now() - startMs < SLACK_MS, `${what}: not at ${client.server}`);
      await sleep(POLL_MS);
    }
  }
  return performance.now() - startMs;
}

async function serverWorks(client: RestClient): Promise<boolean> {
  const { body } = await client.request("GET", "/healthz");
  return (body as HealthView).checks.find(({ name }) => name === "nats")!.ok;
}

/** Whether it holds all others alive, reached over NATS and the link, or over the link alone. */
async function knowsAll(client: RestClient, isOverNats: boolean): Promise<boolean> {
  const { members } = (await client.request("GET", "/v1/cluster")).body as ClusterView;
  return members.every(({ status, nats, link }) => {
    const isHeard = isOverNats ? nats.heard && nats.hearsUs === true : !nats.heard;
    return status === "alive" && link?.up === true && isHeard;
  });
}

async function has(client: RestClient, name: string): Promise<boolean> {
  return (await client.request("GET", `/v1/switches/${name}`)).status === 200;
}

test("S61: without a nats-server changes spread and nothing is lost", LIMIT, async (t) => {
  await Promise.all(WORKLOADS.map((workload) => fixture.agent(workload)));
  await untilAll("all hear each other", (client) => knowsAll(client, true));
  const [a, b] = clients();
  const lostBefore = await socketLosses(fixture, WORKLOADS);
  const { sent, received } = await withFlows(fixture, LOAD, async () => {
    await sleep(500);
    await servers.takeAway(fixture.running.chassis.map(({ process }) => process));
    await untilAll("health says so", async (client) => !(await serverWorks(client)));
    const body = { kind: "switch", name: "new" };
    assert.equal((await a!.request("PUT", "/v1/switches/new", { body })).status, 201);
    const tookMs = await untilAll("the new switch", (client) => has(client, "new"));
    t.diagnostic(`a change without any nats-server: ${tookMs.toFixed(0)} ms to all three`);
    assert.equal((await b!.request("DELETE", "/v1/switches/new")).status, 204);
    await untilAll("the switch is gone", async (client) => !(await has(client, "new")));
    await sleep(MEMBERSHIP_MS);
    await untilAll("nobody is taken for dead", (client) => knowsAll(client, false));
  });
  const missed = (await socketLosses(fixture, WORKLOADS)) - lostBefore;
  assert.equal(received + missed, sent, "forwarding does not notice");
});

test("S61: they come back, and changes spread as before", LIMIT, async () => {
  servers.giveBack();
  await untilAll("health says so", serverWorks);
  await untilAll("all hear each other over NATS", (client) => knowsAll(client, true));
  const [a] = clients();
  const body = { kind: "switch", name: "later" };
  assert.equal((await a!.request("PUT", "/v1/switches/later", { body })).status, 201);
  await untilAll("the later switch", (client) => has(client, "later"));
});
