/**
 * S64: when the table of connections is full, new ones are dropped under their own reason, those
 * that are established go on, and the chassis has warned.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HealthView } from "@rhone/api/context";
import { dropsOf, useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";

const LIMIT = { timeout: 60_000 };
const FLOWS = 4000;
const lab = labOf({
  name: "s64",
  chassis: ["a"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "a", addresses: ["10.0.1.11"] },
  ],
});
const fixture = useLab("s64", { lab, connections: 2048, workers: 2 });

test("S64: a full table drops what is new, by name, and nothing else", LIMIT, async () => {
  await fixture.agent("vm1");
  await fixture.agent("vm2"); // Echoes UDP: each flow gets its answer, and stays for that.
  const ping = fixture.run("vm1", "ping", "-c", "40", "-i", "0.25", "-W", "2", "10.0.1.11");
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const tool = import.meta.resolve("../udp-tool.ts");
  await fixture.script("vm1", tool, ["send", "10.0.1.11", "7", String(FLOWS), "1"]);
  const counters = await fixture.counters("a");
  assert.ok(dropsOf(counters, "connections-full") > 0, JSON.stringify(counters.drops));
  assert.ok(counters.connections.inUse <= counters.connections.capacity);
  const { status, body } = await fixture.running.chassis[0]!.process.client.request(
    "GET",
    "/healthz",
  );
  assert.equal(status, 503);
  const check = (body as HealthView).checks.find(({ name }) => name === "connections");
  assert.equal(check?.ok, false, JSON.stringify(body));
  const { code, stdout } = await ping;
  assert.equal(code, 0, stdout);
  assert.match(stdout, / 0% packet loss/, "an established flow goes on");
});
