/**
 * S67: a set of rules is exchanged for another one, again and again, with packets on their way
 * between two chassis. Each half of a packet's way is judged at another chassis; both halves are
 * judged by the old set, or both by the new one.
 *
 *            ports:   5001         5002         5003
 *   set P    from a   pass         drop         pass
 *            to b     drop         pass         pass
 *   set Q    from a   drop         pass         pass
 *            to b     pass         drop         pass
 *
 * Either set denies 5001 and 5002. A packet to 5001 that arrives was judged by P at a and by Q at
 * b, one to 5002 by Q at a and by P at b. The rules change at a chassis of the flow or at a third.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CountersView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { useLab } from "../lab-fixture.ts";
import { withPortFlows } from "../port-flows.ts";
import type { PortCounts } from "../port-tool.ts";
import { labOf } from "../topology.ts";

const LIMIT = { timeout: 180_000 };
const [OLD_FIRST, NEW_FIRST, ALLOWED] = [5001, 5002, 5003];
const CHASSIS = ["a", "b", "c"] as const;
const SWAPS = 60;
const RETRIES_MAX = 5;
const PAUSE_MAX_MS = 150;
const LOAD = { from: "vm1", to: "vm2", address: "10.0.1.11", rate: 6000, flows: 100 };
const lab = labOf({
  name: "s67",
  chassis: CHASSIS,
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "b", addresses: ["10.0.1.11"] },
  ],
});
const fixture = useLab("s67", { lab, workers: 1 });

/** The rules of P, or of Q: the same names with other actions. */
function policy(isNew: boolean): object[] {
  return [
    ["from", OLD_FIRST, isNew],
    ["from", NEW_FIRST, !isNew],
    ["to", OLD_FIRST, !isNew],
    ["to", NEW_FIRST, isNew],
  ].map(([half, port, isDropped]) => ({
    ...{ kind: "acl", name: `${half}-${port}`, switch: "s", direction: `${half}-port` },
    ...{ port: half === "from" ? "vm1" : "vm2", priority: 1 },
    match: { protocol: "udp", destinationPorts: String(port) },
    action: isDropped ? "drop" : "allow",
  }));
}

const sum = (counts: PortCounts) => Object.values(counts).reduce((all, count) => all + count, 0);

async function swap(chassis: string, isNew: boolean): Promise<void> {
  const { client } = fixture.chassis(chassis);
  succeeded(await client.request("POST", "/v1/apply", { body: policy(isNew) }));
}

async function scale(workers: number): Promise<void> {
  for (const name of CHASSIS) {
    const { client } = fixture.chassis(name);
    const path = `/v1/chassis/${name}/dataplane?wait=applied&timeout=20000`;
    succeeded(await client.request("PUT", path, { body: { workers } }));
  }
}

/** Generations that began so far, at all chassis together. */
async function beginnings(): Promise<CountersView["beginnings"]> {
  const sums = { agreed: 0, apart: 0, overdue: 0 };
  for (const name of CHASSIS) {
    const counts = (await fixture.counters(name)).beginnings;
    for (const key of ["agreed", "apart", "overdue"] as const) sums[key] += counts[key];
  }
  return sums;
}

/** Exchanges the rules again and again; resolves to what packets saw, and how changes began. */
async function exchange(chassis: string) {
  const before = await beginnings();
  const load = { ...LOAD, ports: [OLD_FIRST, NEW_FIRST, ALLOWED] as const };
  const { sent, received } = await withPortFlows(fixture, load, async () => {
    for (let i = 1; i <= SWAPS; i++) {
      await swap(chassis, i % 2 === 1);
      await sleep(Math.random() * PAUSE_MAX_MS);
    }
  });
  const after = await beginnings();
  const vain = after.overdue + after.apart - before.overdue - before.apart;
  return { sent, received, agreed: after.agreed - before.agreed, vain };
}

for (const [chassis, workers] of [
  ["a", 1],
  ["b", 2],
  ["c", 4],
] as const) {
  const title = `S67: rules change at ${chassis}, ${workers} workers, and no packet sees a mix`;
  test(title, LIMIT, async (t) => {
    await scale(workers);
    await swap(chassis, false);
    await fixture.running.settled();
    let seen = await exchange(chassis);
    // Where a chassis gets no processor for longer than others wait, the promise does not hold.
    for (let retry = 0; retry < RETRIES_MAX && seen.vain > 0; retry++) {
      t.diagnostic(`waited in vain ${seen.vain} times; once more`);
      seen = await exchange(chassis);
    }
    const { sent, received, agreed, vain } = seen;
    const mixed = received[OLD_FIRST]! + received[NEW_FIRST]!;
    t.diagnostic(`${mixed} of ${sum(sent)} saw a mix; ${agreed} beginnings`);
    assert.ok(received[ALLOWED]! > 0.9 * sent[ALLOWED]!, "what both sets allow goes on");
    assert.equal(vain, 0, "all were in time");
    assert.ok(agreed > SWAPS, `generations begin at three chassis, ${agreed} times`);
    assert.equal(received[OLD_FIRST], 0, "by the old set at a and the new one at b");
    assert.equal(received[NEW_FIRST], 0, "by the new set at a and the old one at b");
  });
}
