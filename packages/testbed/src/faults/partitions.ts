/** Rows 8 and 9: chassis do not hear each other, or one does not hear the other. */
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../until.ts";
import { expectHubs } from "./hubs.ts";
import { lose } from "./packet-filter.ts";
import { heal, memberOf, split, untilMissed, untilNats } from "./partition.ts";
import { CHASSIS, type Rig } from "./rig.ts";
import { expect, type Fault } from "./run-fault.ts";

const ONE_WAY_MS = 10_000;
const LOOK_MS = 100;

type Name = (typeof CHASSIS)[number];

/** The others do not hear `alone`, nor it them. */
function partition(alone: Name, harm: Pick<Fault, "name" | "hasHubs">): Fault {
  const others = CHASSIS.filter((name) => name !== alone);
  const other = others[0]!;
  return {
    ...{ row: 8, mayLose: false, writeTo: [other, alone], ...harm },
    inflict: async (rig) => {
      const { fixture, splitMs } = rig;
      if (rig.hasHubs) await expectHubs(rig);
      const startMs = performance.now();
      await split(fixture, others, [alone]);
      try {
        const noticedMs = await untilMissed(fixture.chassis(other), alone, ["dead"]);
        await untilMissed(fixture.chassis(alone), other, ["suspect", "dead"]);
        await sleep(Math.max(0, startMs + splitMs - performance.now()));
        const lastedMs = Math.round(performance.now() - startMs);
        return `noticed after ${Math.round(noticedMs)} ms, lasted ${lastedMs} ms`;
      } finally {
        await heal(fixture);
      }
    },
    afterwards: async ({ fixture }, endMs) => {
      await untilNats(fixture);
      return `NATS works again ${Math.round(performance.now() - endMs)} ms afterwards`;
    },
  };
}

function oneWay(percent: number): Fault {
  return {
    ...{ row: 9, name: `c does not hear ${percent} % of what a says, for 10 s` },
    ...{ mayLose: false, writeTo: ["a", "c"] },
    inflict: async (rig) => {
      const { fixture } = rig;
      const from = fixture.chassis("a").underlay;
      await lose(fixture.chassis("c").namespace, [{ from, protocol: "tcp", percent }]);
      try {
        const said = await watch(rig);
        expect(!said.has("dead"), `taken for dead, although others hear both: ${[...said]}`);
        return `to each other they are ${[...said].sort().join(" and ")}`;
      } finally {
        await heal(fixture);
        // Until then the old connections may still be tried.
        await until("a and c hear each other", async () => {
          return (await memberOf(fixture.chassis("a"), "c")).link?.up === true;
        });
      }
    },
  };
}

/** What a and c say of each other meanwhile. */
async function watch({ fixture }: Rig): Promise<Set<string>> {
  const said = new Set<string>();
  const endMs = performance.now() + ONE_WAY_MS;
  while (performance.now() < endMs) {
    said.add((await memberOf(fixture.chassis("a"), "c")).status);
    said.add((await memberOf(fixture.chassis("c"), "a")).status);
    await sleep(LOOK_MS);
  }
  return said;
}

export const PARTITION_FAULTS: readonly Fault[] = [
  // Those with hubs first: they are in the same lab as those before.
  partition("a", { name: "b and c, hubs, do not hear a, their leaf, nor a them", hasHubs: true }),
  partition("c", { name: "a and b do not hear hub c, nor c them", hasHubs: true }),
  partition("c", { name: "a and b do not hear c, nor c them" }),
  ...[oneWay(100), oneWay(30)],
];
