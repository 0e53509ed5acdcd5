/** What tests ask a lab whose tunnel goes over AF_XDP. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { HealthView, WorkersView } from "@rhone/api/context";
import type { RunningLab } from "@rhone/cli/lab";
import { runOrThrow } from "@rhone/cli/run";
import type { LabFixture } from "./lab-fixture.ts";

type Chassis = RunningLab["chassis"][number]["process"];

const SETTLED_MS = 20_000;
const POLL_MS = 50;

export function chassisOf(fixture: LabFixture, name: string): Chassis {
  const found = fixture.running.chassis.find(({ process }) => process.name === name);
  assert.ok(found, `expected a chassis of the lab, got ${name}`);
  return found.process;
}

/** What a chassis says of its tunnel; undefined when it goes by the sockets alone. */
export async function tunnelCheck(
  fixture: LabFixture,
  name: string,
): Promise<{ readonly ok: boolean; readonly detail: string } | undefined> {
  // Not every answer is 200.
  const { body } = await chassisOf(fixture, name).client.request("GET", "/healthz");
  return (body as HealthView).checks.find((check) => check.name === "tunnel");
}

/** Resolves when the chassis says so of its tunnel. */
export async function whenTunnelIs(fixture: LabFixture, name: string, what: RegExp): Promise<void> {
  const deadline = performance.now() + SETTLED_MS;
  for (;;) {
    const check = await tunnelCheck(fixture, name);
    if (check !== undefined && what.test(check.detail)) return;
    const told = `expected of ${name} within ${SETTLED_MS} ms ${what}, got ${check?.detail}`;
    assert.ok(performance.now() < deadline, told);
    await sleep(POLL_MS);
  }
}

/** Resolves when these chassis have every queue, and the path to their one peer. */
export async function whenDirect(fixture: LabFixture, names: readonly string[]): Promise<void> {
  for (const name of names) await whenTunnelIs(fixture, name, /^(\d+) of \1 .* 1 of 1 peers /);
}

/** Datagrams that a chassis's kernel has handed to sockets. */
export async function datagramsOf(fixture: LabFixture, name: string): Promise<number> {
  const inside = ["ip", "netns", "exec", chassisOf(fixture, name).namespace];
  const text = await runOrThrow([...inside, "cat", "/proc/net/snmp"]);
  return Number(/^Udp: (\d+)/m.exec(text)![1]);
}

/** Of every chassis. What is on its way is in two places or in none while it is looked for. */
export async function assertNoSlotIsLost(fixture: LabFixture): Promise<void> {
  for (const { process } of fixture.running.chassis) {
    const deadline = performance.now() + SETTLED_MS;
    for (;;) {
      const { slots } = await process.client.get<WorkersView>("/v1/workers");
      const { total, unaccounted, ...parts } = slots;
      assert.equal(unaccounted, 0);
      if (Object.values(parts).reduce((all, part) => all + part, 0) === total) break;
      assert.ok(performance.now() < deadline, JSON.stringify(slots));
      await sleep(POLL_MS);
    }
  }
}
