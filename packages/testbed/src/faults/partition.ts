/**
 * A cluster whose chassis do not hear each other: their control connections (NATS, links) are cut,
 * while the tunnel, and whatever it carries, goes on.
 */
import type { ClusterView } from "@rhone/api/context";
import type { ChassisProcess } from "@rhone/cli/chassis-process";
import type { LabFixture } from "../lab-fixture.ts";
import { until } from "../until.ts";
import { lose, loseNothing } from "./packet-filter.ts";

/** In which silence is noticed, also by one who is alone, and so doubts itself first. */
const NOTICED_MS = 60_000;
const HEALED_MS = 60_000;

/** Nobody of `left` and `right` hears anybody of the other side any more. */
export async function split(
  fixture: LabFixture,
  left: readonly string[],
  right: readonly string[],
): Promise<void> {
  for (const [here, there] of [
    [left, right],
    [right, left],
  ] as const) {
    const losses = there.map((name) => {
      const from = fixture.chassis(name).underlay;
      return { from, protocol: "tcp" as const, percent: 100 };
    });
    await Promise.all(here.map((name) => lose(fixture.chassis(name).namespace, losses)));
  }
}

export async function heal(fixture: LabFixture): Promise<void> {
  await Promise.all(fixture.running.chassis.map(({ process }) => loseNothing(process.namespace)));
}

/** Milliseconds until `at` says that `silent` is dead, and has no way to it. */
export function untilDead(at: ChassisProcess, silent: string): Promise<number> {
  const isDead = async (): Promise<boolean> => {
    const member = await memberOf(at, silent);
    return member.status === "dead" && !member.nats.heard;
  };
  return until(`${at.name} takes ${silent} for dead`, isDead, NOTICED_MS);
}

/** Milliseconds until all hear each other, and hold the same. */
export async function untilWhole(fixture: LabFixture): Promise<number> {
  const startMs = performance.now();
  for (const { process } of fixture.running.chassis) {
    const isWhole = async (): Promise<boolean> => {
      const { members } = await process.client.get<ClusterView>("/v1/cluster");
      return members.every(({ status, nats, state }) => {
        return status === "alive" && nats.heard && nats.hearsUs !== false && state?.same === true;
      });
    };
    await until(`${process.name} hears all, with the same state`, isWhole, HEALED_MS);
  }
  return performance.now() - startMs;
}

/** Milliseconds until every chassis answers the same about rules. */
export async function untilSameRules(fixture: LabFixture): Promise<number> {
  const startMs = performance.now();
  const rulesOf = async ({ client }: ChassisProcess): Promise<string> => {
    const rules = await client.get<{ hits: number }[]>("/v1/acls");
    return JSON.stringify(rules.map(({ hits: _, ...rule }) => rule));
  };
  const isSame = async (): Promise<boolean> => {
    const processes = fixture.running.chassis.map(({ process }) => process);
    return new Set(await Promise.all(processes.map(rulesOf))).size === 1;
  };
  await until("the same rules at every chassis", isSame, HEALED_MS);
  return performance.now() - startMs;
}

export async function memberOf(
  { client }: ChassisProcess,
  name: string,
): Promise<ClusterView["members"][number]> {
  const { members } = await client.get<ClusterView>("/v1/cluster");
  const found = members.find((member) => member.name === name);
  if (found === undefined) throw new Error(`expected a member ${name}, got none`);
  return found;
}
