/** The controller with a real data plane, on an address of the loopback device. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { GENERATIONS_HELD, HELD_MS } from "@rhone/dataplane-worker/table-history";
import { EDITIONS_HELD, HELD_MS as SIMULATED_HELD_MS } from "@rhone/gossip/simulated-tables";
import { createMemoryStore } from "@rhone/state/memory-store";
import { pino } from "pino";
import { compile } from "./compile.ts";
import { Controller } from "./controller.ts";
import { Dataplane } from "./dataplane.ts";
import { Devices } from "./devices.ts";
import { RuleHits } from "./rule-hits.ts";

const LIMIT = { timeout: 60_000 };
const APPLIED_MS = 30_000;
const UNDERLAY_PORT = 19_998;
const TUNNEL_MTU = 1400;

function start(t: TestContext) {
  const { pid } = process;
  const underlay = `127.${(pid >> 16) & 0xff}.${(pid >> 8) & 0xff}.${pid & 0xff}`;
  const store = createMemoryStore("a");
  const nothing = { devices: new Map(), workers: [], ruleCounters: new Map() };
  const self = { name: "a", tunnelMtu: TUNNEL_MTU, keys: null, ...nothing };
  const dataplane = new Dataplane({
    ...{ workers: 1, workersMax: 1, connections: 1024, underlay, underlayPort: UNDERLAY_PORT },
    tables: compile(store.snapshot(), self),
    onReport: (_, report) => controller.onReport(report),
    onWorkerLost: (_, error) => assert.fail(error.message),
    onWorkerStarted: () => {},
  });
  const controller = new Controller({
    ...{ chassis: "a", workers: 1, tunnelMtu: TUNNEL_MTU, stampKeys: null, store, dataplane },
    devices: new Devices("a", "af-packet", dataplane, {
      queuesOf: () => 0,
      hasDevice: () => false,
      ownDevices: () => new Map(),
    }),
    ruleHits: new RuleHits(dataplane.memory.ruleCounters),
    turnAt: (gateway) => assert.fail(`expected no gateway, got ${gateway}`),
    log: pino({ level: "silent" }),
  });
  t.after(async () => {
    controller.stop();
    await dataplane.stop();
  });
  const put = async (...documents: readonly object[]): Promise<void> => {
    const result = store.transact(
      documents.map((document) => ({ op: "put", document })),
      "user",
    );
    assert.ok(result.ok, JSON.stringify(result));
    assert.ok(await controller.waitApplied(APPLIED_MS), controller.failure);
  };
  return { controller, put };
}

test("a port more is a step, a switch more is not, and the workers run both", LIMIT, async (t) => {
  const { controller, put } = start(t);
  await put({ kind: "switch", name: "web" });
  await put({ kind: "port", name: "vm1", switch: "web", addresses: ["10.0.0.1"] });
  const before = controller.compilations;
  await put({ kind: "port", name: "vm2", switch: "web", addresses: ["10.0.0.2"] });
  const { steps, full } = controller.compilations;
  assert.ok(steps > before.steps, `${steps} steps after ${before.steps}`);
  assert.deepEqual(full, before.full);
  await put({ kind: "switch", name: "db" });
  assert.equal(controller.compilations.full.networks, before.full.networks + 1);
  assert.equal(controller.failure, "");
});

test("simulated workers hold as many generations as real ones, for as long", () => {
  assert.deepEqual([EDITIONS_HELD, SIMULATED_HELD_MS], [GENERATIONS_HELD, HELD_MS]);
});
