/** Rows 15 and 22: somebody writes too much, or what no chassis can work with. */
import { setTimeout as sleep } from "node:timers/promises";
import type { HealthView, InForce } from "@rhone/api/context";
import { type RestClient, succeeded } from "@rhone/cli/rest-client";
import { until } from "../until.ts";
import { CHASSIS, type Rig } from "./rig.ts";
import { expect, type Fault } from "./run-fault.ts";

const FLOOD_MS = 5000;
const FLOODED_NAMES = 200;
const SAMPLES = 20;
const SAMPLE_PAUSE_MS = 50;
/** Ports of one switch have 15 bits for their numbers, and 0 is none. */
const PORTS_MAX = 32_767;
const PORTS_AT_ONCE = 4000;
/** For a chassis that compiles tens of thousands of ports meanwhile. */
const BUSY_TIMEOUT_MS = 60_000;
const POISONED = "/v1/switches/poisoned";

const flood: Fault = {
  ...{ row: 15, name: "c writes as much as it can, for 5 s", mayLose: false, writeTo: ["b"] },
  inflict: async (rig) => {
    const before = await spread(rig, "before");
    let isOver = false;
    let changes = 0;
    const flooding = (async (): Promise<void> => {
      for (let round = 0; !isOver; round++) {
        const body = Array.from({ length: FLOODED_NAMES }, (_, i) => {
          const limit = { maxStaleSeconds: 3600 + (round % 2) }; // It is in the tables.
          return { kind: "switch", name: `flood-${i}`, description: `${round}`, ...limit };
        });
        const { client } = rig.fixture.chassis("c");
        succeeded(await client.request("POST", "/v1/apply", { body }));
        changes += FLOODED_NAMES;
      }
    })();
    const startMs = performance.now();
    const during = await spread(rig, "during").finally(() => sleep(FLOOD_MS));
    isOver = true;
    await flooding;
    const rate = Math.round((changes / (performance.now() - startMs)) * 1000);
    return `${rate} changes a second; one of a's is at b after ${before} before, ${during} then`;
  },
};

/** How long changes of a take to b: the median and the longest of some. */
async function spread({ fixture }: Rig, when: string): Promise<string> {
  const took: number[] = [];
  const { client } = fixture.chassis("a");
  for (let i = 0; i < SAMPLES; i++) {
    const name = `${when}-flood-${i}`;
    const startMs = performance.now();
    const body = { kind: "switch", name };
    succeeded(await client.request("PUT", `/v1/switches/${name}`, { body }));
    await until(`${name} at b`, async () => {
      return (
        (await fixture.chassis("b").client.request("GET", `/v1/switches/${name}`)).status === 200
      );
    });
    took.push(performance.now() - startMs);
    await sleep(SAMPLE_PAUSE_MS);
  }
  const inOrder = took.toSorted((x, y) => x - y).map(Math.round);
  return `${inOrder[SAMPLES / 2]} (at most ${inOrder.at(-1)}) ms`;
}

const poison: Fault = {
  ...{ row: 22, name: "more ports in a switch than there are numbers", mayLose: false },
  ...{ writeTo: ["b"], spoilsLab: true },
  inflict: async ({ fixture }) => {
    const { client } = fixture.chassis("c");
    const names = Array.from({ length: PORTS_MAX + 1 }, (_, i) => `poison-${i}`);
    await apply(client, [{ kind: "switch", name: "poisoned" }]);
    for (let at = 0; at < names.length; at += PORTS_AT_ONCE) {
      const some = names.slice(at, at + PORTS_AT_ONCE);
      await apply(
        client,
        some.map((name) => ({ kind: "port", name, switch: "poisoned", addresses: [] })),
      );
    }
    const why: string[] = [];
    for (const name of CHASSIS) {
      const isIll = async (): Promise<boolean> => {
        const check = await tablesCheck(fixture.chassis(name).client);
        if (!check.ok) why.push(check.detail);
        return !check.ok;
      };
      await until(`${name} says that it cannot compile`, isIll, BUSY_TIMEOUT_MS);
    }
    const options = { timeoutMs: BUSY_TIMEOUT_MS };
    for (const name of CHASSIS) {
      const { body } = await fixture.chassis(name).client.request("GET", POISONED, options);
      const { notInForce } = body as InForce;
      expect(notInForce !== undefined, `${name}: the switch itself has to say so`);
    }
    succeeded(await client.request("DELETE", `/v1/ports/${names.at(-1)}`, options));
    for (const name of CHASSIS) {
      const isWell = async () => (await tablesCheck(fixture.chassis(name).client)).ok;
      await until(`${name} compiles again`, isWell, BUSY_TIMEOUT_MS);
    }
    return `the old tables stayed; health: "${why[0]}"`;
  },
};

async function apply(client: RestClient, body: readonly object[]): Promise<void> {
  const options = { body, timeoutMs: BUSY_TIMEOUT_MS };
  succeeded(await client.request("POST", "/v1/apply", options));
}

async function tablesCheck(client: RestClient): Promise<HealthView["checks"][number]> {
  const options = { timeoutMs: BUSY_TIMEOUT_MS };
  const { body } = await client.request("GET", "/healthz", options);
  return (body as HealthView).checks.find(({ name }) => name === "tables")!;
}

export const WRITE_FAULTS: readonly Fault[] = [flood, poison];
