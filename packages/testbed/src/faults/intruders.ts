/** Rows 13, 14 and 17: somebody sends what nobody should believe. */
import { fileURLToPath } from "node:url";
import type { ClusterView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { runOrThrow } from "@rhone/cli/run";
import { runtimeCommand } from "@rhone/cli/runtime";
import { socketLosses } from "../flows.ts";
import { dropsOf } from "../lab-fixture.ts";
import { Tool } from "../tool.ts";
import { until } from "../until.ts";
import { CHASSIS, type Rig } from "./rig.ts";
import { expect, type Fault } from "./run-fault.ts";
import { missingAt } from "./writer.ts";

const REPLAYS = 2000;
const WRITES = 10;
const FORGERIES = 1000;
const COUNTED_MS = 60_000;
const REFUSALS = ["seal-unsigned", "seal-forged", "write-not-owned"];
/** What is more than is taken from one chassis is not even read. */
const UNREAD = "gossip-too-fast";
const STRANGER = "192.168.100.77";
const TUNNEL_PORT = 6081;
const DATAGRAMS = 20_000;
const DATAGRAM_SIZE = 120;

/** The program of gossip-tool.ts in place of chassis c. */
export function intruder({ fixture }: Rig, ...argv: readonly string[]): Tool {
  const { namespace, dataDirectory } = fixture.chassis("c");
  const script = fileURLToPath(import.meta.resolve("./gossip-tool.ts"));
  return new Tool(namespace, [...runtimeCommand("node"), script, dataDirectory, ...argv]);
}

const replayed: Fault = {
  ...{ row: 13, name: "what a and b said is said again", mayLose: false, writeTo: [] },
  inflict: async (rig) => {
    const { fixture } = rig;
    const tool = intruder(rig, "replay", String(REPLAYS));
    try {
      await tool.line();
      const { client } = fixture.chassis("a");
      const names = Array.from({ length: WRITES }, (_, i) => `gone-${i}`);
      for (const name of names) {
        const body = { kind: "switch", name };
        succeeded(await client.request("PUT", `/v1/switches/${name}`, { body }));
        succeeded(await client.request("DELETE", `/v1/switches/${name}`));
      }
      await until("all have the last change", async () => (await revisions(rig)).size === 1);
      const before = await revisions(rig);
      const { heard, sent } = JSON.parse(await tool.end()) as { heard: number; sent: number };
      expect(heard >= WRITES * 2, `heard ${heard} changes`);
      const after = await revisions(rig);
      expect(`${[...after]}` === `${[...before]}`, `${[...before]} became ${[...after]}`);
      for (const name of CHASSIS) {
        const missing = await missingAt(fixture.chassis(name), names);
        expect(missing.length === WRITES, `something came back at ${name}`);
      }
      return `${sent} messages, and no state changed`;
    } finally {
      await tool.kill();
    }
  },
};

async function revisions({ fixture }: Rig): Promise<Set<number>> {
  const views = CHASSIS.map((name) => fixture.chassis(name).client.get<ClusterView>("/v1/cluster"));
  return new Set((await Promise.all(views)).map(({ revision }) => revision));
}

const forged: Fault = {
  ...{ row: 14, name: "c speaks in a's name and about a, with its own key and without" },
  ...{ mayLose: false, writeTo: ["a", "b"] },
  inflict: async (rig) => {
    const { fixture } = rig;
    const before = await refusals(rig);
    const tool = intruder(rig, "forge", String(FORGERIES), "a");
    try {
      const { sent } = JSON.parse(await tool.line()) as { sent: number };
      const areCounted = async (): Promise<boolean> => {
        const after = await refusals(rig);
        const counts = [...REFUSALS, UNREAD].map((reason) => after(reason) - before(reason));
        const sum = counts.reduce((sum, count) => sum + count, 0);
        return sum >= sent && REFUSALS.every((reason) => after(reason) > before(reason));
      };
      await until("b has counted each of them", areCounted, COUNTED_MS);
      for (const name of CHASSIS) {
        const missing = await missingAt(fixture.chassis(name), ["forged"]);
        expect(missing.length === 1, `a forgery is in force at ${name}`);
      }
      return `${sent} messages, all refused: ${REFUSALS.join(", ")}`;
    } finally {
      await tool.kill();
    }
  },
};

/** What b has refused, by reason. */
async function refusals({ fixture }: Rig): Promise<(reason: string) => number> {
  const { refused } = await fixture.chassis("b").client.get<ClusterView>("/v1/cluster");
  return (reason) => refused[reason] ?? 0;
}

const unknownEndpoint: Fault = {
  ...{ row: 17, name: "a stranger floods a's tunnel port", mayLose: false, writeTo: ["a", "c"] },
  inflict: async ({ fixture }) => {
    const { namespace } = fixture.chassis("c");
    const address = [`${STRANGER}/24`, "dev", "underlay"];
    await runOrThrow(["ip", "-n", namespace, "address", "add", ...address]);
    try {
      const before = await strangersDrops(fixture);
      const script = fileURLToPath(import.meta.resolve("../raw-datagrams.ts"));
      const to = [STRANGER, fixture.chassis("a").underlay, String(TUNNEL_PORT)];
      const command = [...runtimeCommand("node"), script, ...to];
      const input = `${"00".repeat(DATAGRAM_SIZE)}\n`.repeat(DATAGRAMS);
      await runOrThrow(["ip", "netns", "exec", namespace, ...command], { input });
      await until("a has counted each of them", async () => {
        return (await strangersDrops(fixture)) - before >= DATAGRAMS;
      });
      return `${DATAGRAMS} datagrams, all dropped as tunnel-source-unknown or for want of room`;
    } finally {
      await runOrThrow(["ip", "-n", namespace, "address", "delete", ...address]);
    }
  },
};

async function strangersDrops(fixture: Rig["fixture"]): Promise<number> {
  const unknown = dropsOf(await fixture.counters("a"), "tunnel-source-unknown");
  return unknown + (await socketLosses(fixture, ["a"]));
}

export const INTRUDER_FAULTS: readonly Fault[] = [replayed, forged, unknownEndpoint];
