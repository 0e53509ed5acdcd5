/**
 * A partition leaves one of three chassis alone. In a switch that asks for knowledge no older than
 * some seconds, nothing begins at that chassis any more: what has begun goes on, the two others go
 * on with everything, and so does the chassis in a switch that does not ask. It ends with the
 * partition.
 *
 *     vm1, vm4 on a      vm2, vm5 on b      vm3 on c        vm1–vm3 in s, vm4 and vm5 in t
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HealthView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { heal, split } from "../faults/partition.ts";
import { dropsOf, useLab } from "../lab-fixture.ts";
import { withStreams } from "../streams.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 240_000 };
const SECONDS = 5;
const NOTICED_MS = 60_000;
const PORT = "5001";
const addressOf = (name: string): string => `10.0.1.1${name.slice(2)}`;
const lab = labOf({
  name: "stale",
  chassis: ["a", "b", "c"],
  ports: (["vm1 s a", "vm2 s b", "vm3 s c", "vm4 t a", "vm5 t b"] as const).map((text) => {
    const [name, at, chassis] = text.split(" ") as [string, string, string];
    return { name, switch: at, chassis, addresses: [addressOf(name)] };
  }),
});
const fixture = useLab("stale", { lab });

async function knowledgeOf(chassis: string): Promise<HealthView["checks"][number]> {
  // A degraded one does not answer 200.
  const { body } = await fixture.chassis(chassis).client.request("GET", "/healthz");
  return (body as HealthView).checks.find(({ name }) => name === "knowledge")!;
}

/** Whether a new flow gets through, and back. */
async function begins(from: string, to: string): Promise<boolean> {
  const { stdout } = await fixture.run(from, "ping", "-c", "1", "-W", "1", addressOf(to));
  return / 1 received/.test(stdout);
}

const stale = async (chassis: string): Promise<number> =>
  dropsOf(await fixture.counters(chassis), "knowledge-stale");

test("where knowledge is too old nothing begins", LIMIT, () =>
  withStreams(fixture, async (start) => {
    const path = `/v1/switches/s?wait=applied`;
    const body = { maxStaleSeconds: SECONDS };
    succeeded(await fixture.chassis("c").client.request("PUT", path, { body }));
    for (const chassis of ["a", "b", "c"]) {
      await until(`${chassis} knows`, async () => (await knowledgeOf(chassis)).ok);
    }
    await start("vm2", "answer", PORT);
    const old = await start("vm1", "send", "40000", addressOf("vm2"), PORT);
    await old.receives(20);
    await split(fixture, ["a"], ["b", "c"]);
    const isStale = async (): Promise<boolean> => !(await knowledgeOf("a")).ok;
    await until("a's knowledge is too old", isStale, NOTICED_MS);
    assert.match((await knowledgeOf("a")).detail, /nothing begins in s$/);
    const before = await stale("a");
    assert.equal(await begins("vm1", "vm2"), false);
    assert.equal(await begins("vm3", "vm1"), false);
    assert.ok((await stale("a")) >= before + 2);
    await old.receives(100);
    assert.equal(await begins("vm4", "vm5"), true, "a switch that does not ask");
    assert.equal(await begins("vm3", "vm2"), true, "two of three know");
    for (const chassis of ["b", "c"]) {
      assert.ok((await knowledgeOf(chassis)).ok, chassis);
      assert.equal(await stale(chassis), 0);
    }
    await heal(fixture);
    await until("a knows again", async () => (await knowledgeOf("a")).ok, NOTICED_MS);
    await until("it begins again", () => begins("vm1", "vm2"));
  }),
);
