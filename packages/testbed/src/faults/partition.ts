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
/** Takes seconds, and on a starved machine as many as it likes. */
const HEALED_MS = 120_000;

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

/**
 * Milliseconds until `at` says that `silent` does not answer, on no way. Of two chassis that do not
 * hear each other, one that is alone doubts itself and says "suspect" for long; others say "dead".
 */
export function untilMissed(
  at: ChassisProcess,
  silent: string,
  as: readonly Member["status"][],
): Promise<number> {
  const isMissed = async (): Promise<boolean> => {
    const { status, nats, link } = await memberOf(at, silent);
    return as.includes(status) && !nats.heard && link?.up !== true;
  };
  return until(`${at.name} misses ${silent}`, isMissed, NOTICED_MS);
}

/** Milliseconds until each says that all others live, and hold the same. */
export function untilWhole(fixture: LabFixture): Promise<number> {
  return untilAll(fixture, "all live, with the same state", ({ status, state }) => {
    return status === "alive" && state?.same === true;
  });
}

/** Milliseconds until all hear each other over NATS, which may be long after they do over links. */
export function untilNats(fixture: LabFixture): Promise<number> {
  return untilAll(fixture, "all are heard over NATS", ({ nats }) => {
    return nats.heard && nats.hearsUs !== false;
  });
}

type Member = ClusterView["members"][number];

/** Milliseconds until `isTrue` of all that each chassis says of others. */
async function untilAll(
  { running }: LabFixture,
  what: string,
  isTrue: (member: Member) => boolean,
): Promise<number> {
  const startMs = performance.now();
  for (const { process } of running.chassis) {
    const isTrueOfAll = async (): Promise<boolean> => {
      return (await process.client.get<ClusterView>("/v1/cluster")).members.every(isTrue);
    };
    await until(`${process.name}: ${what}`, isTrueOfAll, HEALED_MS);
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

export async function memberOf({ client }: ChassisProcess, name: string): Promise<Member> {
  const { members } = await client.get<ClusterView>("/v1/cluster");
  const found = members.find((member) => member.name === name);
  if (found === undefined) throw new Error(`expected a member ${name}, got none`);
  return found;
}
