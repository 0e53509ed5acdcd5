/**
 * S64: when the table of connections is full, new ones are dropped under their own reason, those
 * that are established go on, and the chassis has warned.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CountersView, HealthView } from "@rhone/api/context";
import { dropsOf, type LabFixture, underWorkers } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";

const LIMIT = { timeout: 60_000 };
const FLOWS = 4000;
/** Flows whose answer is late give way to new ones, so one round may not fill the table. */
const ROUNDS_MAX = 5;
/** The ping has its answer, and a connection that stays. */
const ESTABLISHED_MS = 500;
const lab = labOf({
  name: "s64",
  chassis: ["a"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "a", addresses: ["10.0.1.11"] },
  ],
});

/** Makes new flows until one has no room, and until the chassis warns. */
async function fill(fixture: LabFixture): Promise<CountersView> {
  const tool = import.meta.resolve("../udp-tool.ts");
  for (let round = 0; ; round++) {
    await fixture.script("vm1", tool, ["send", "10.0.1.11", "7", String(FLOWS), "1"]);
    const counters = await fixture.counters("a");
    const isFull = dropsOf(counters, "connections-full") > 0;
    const { status, check } = await healthOf(fixture);
    if (isFull && !check.ok) {
      assert.equal(status, 503);
      return counters;
    }
    assert.ok(round < ROUNDS_MAX, JSON.stringify({ counters, check }));
  }
}

async function healthOf(fixture: LabFixture) {
  const { client } = fixture.running.chassis[0]!.process;
  const { status, body } = await client.request("GET", "/healthz");
  const check = (body as HealthView).checks.find(({ name }) => name === "connections")!;
  return { status, check };
}

underWorkers("s64", [1, 2, 4], { lab, connections: 2048 }, (fixture) => {
  test("S64: a full table drops what is new, by name, and nothing else", LIMIT, async () => {
    await fixture.agent("vm1");
    await fixture.agent("vm2"); // Echoes UDP: each flow gets its answer, and stays for that.
    const ping = fixture.run("vm1", "ping", "-c", "20", "-i", "0.2", "-W", "2", "10.0.1.11");
    await sleep(ESTABLISHED_MS);
    const { connections } = await fill(fixture);
    assert.ok(connections.inUse <= connections.capacity);
    const { code, stdout } = await ping;
    assert.equal(code, 0, stdout);
    assert.match(stdout, / 0% packet loss/, "an established flow goes on");
  });
});
