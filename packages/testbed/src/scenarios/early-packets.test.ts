/**
 * A port comes at a chassis, and its guest sends at once, to one at a chassis that has not heard of
 * it: their control connections are cut, the tunnel works. What it sends waits there for a moment.
 * What has waited too long is dropped by name; what still waits when the news comes goes on, and
 * so does all that comes after it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CountersView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { assertNoSlotIsLost } from "../direct-tunnel.ts";
import { heal, split, untilWhole } from "../faults/partition.ts";
import { dropsOf, useLab } from "../lab-fixture.ts";
import { withPortFlows } from "../port-flows.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 180_000 };
const PORT = 5001;
/** So few that what a flow sends while it may wait has room. */
const LOAD = { from: "vm1", to: "vm2", address: "10.0.1.11", ports: [PORT], rate: 100, flows: 4 };
/** Longer than anything waits. */
const LONG_MS = 200;
const VM1 = { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] };
const lab = labOf({
  name: "early",
  chassis: ["a", "b"],
  ports: [VM1, { name: "vm2", switch: "s", chassis: "b", addresses: ["10.0.1.11"] }],
});
const fixture = useLab("early", { lab });

const lost = (counters: CountersView): number => dropsOf(counters, "stamp-port");

test("a new port's first packets wait where it is not known yet", LIMIT, async () => {
  const { client } = fixture.chassis("a");
  await fixture.silence();
  succeeded(await client.request("DELETE", "/v1/ports/vm1?wait=applied"));
  const before = await fixture.counters("b");
  await split(fixture, ["a"], ["b"]);
  const body = { kind: "port", ...VM1, device: "vm1" };
  succeeded(await client.request("PUT", "/v1/ports/vm1?wait=local", { body }));
  const { sent, received } = await withPortFlows(fixture, LOAD, async () => {
    await until("b drops some", async () => lost(await fixture.counters("b")) > lost(before) + 20);
    await heal(fixture);
    await until("some go on", async () => (await fixture.counters("b")).early.released > 0);
    await sleep(LONG_MS);
  });
  const after = await fixture.counters("b");
  const { held, released, expired, refused, senders } = after.early;
  assert.deepEqual(
    senders.map(({ chassis }) => chassis),
    ["a"],
  );
  assert.ok(released > 0);
  assert.equal(held, released + expired, "nothing waits for ever");
  // What has no room, when the machine stood still and then sends all at once, is dropped as well.
  const dropped = expired + refused;
  assert.equal(lost(after) - lost(before), dropped);
  assert.equal(received[PORT], sent[PORT]! - dropped, "all else comes");
  await untilWhole(fixture);
  await assertNoSlotIsLost(fixture);
});
