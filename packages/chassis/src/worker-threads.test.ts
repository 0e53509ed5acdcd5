import assert from "node:assert/strict";
import { test } from "node:test";
import type { Report } from "@rhone/dataplane-worker/plan";
import { createMemoryStore } from "@rhone/state/memory-store";
import { compile } from "./compile.ts";
import { DataplaneMemory } from "./dataplane-memory.ts";
import { firstAllotment } from "./next-allotment.ts";
import { WorkerThreads } from "./worker-threads.ts";

const LIMIT = { timeout: 30_000 };
const UNDERLAY_PORT = 19_999;

test("a worker that fails says why, and another one can start in its place", LIMIT, async (t) => {
  const { pid } = process;
  const underlay = `127.${(pid >> 16) & 0xff}.${(pid >> 8) & 0xff}.${pid & 0xff}`;
  const options = { workersMax: 2, connections: 1024, underlay, underlayPort: UNDERLAY_PORT };
  const memory = new DataplaneMemory(options);
  let heard = Promise.withResolvers<Report["type"]>();
  let ended = Promise.withResolvers<Error | null>();
  const endpoint = { address: underlay, port: UNDERLAY_PORT };
  const threads = new WorkerThreads(memory, 1, endpoint, {
    onReport: (_, { type }) => heard.resolve(type),
    onEnded: (_, error) => ended.resolve(error),
  });
  t.after(async () => {
    await threads.stop();
    memory.close();
  });
  const self = { name: "a", tunnelMtu: 1400, keys: null, workers: [], devices: new Map() };
  const state = createMemoryStore("a").snapshot();
  const image = compile(state, { ...self, ruleCounters: new Map() });
  const begin = (): void => {
    const slots = memory.recover(0);
    const allotment = firstAllotment([0], memory.sockets.length);
    threads.start(0, { slots, allotment, paths: null, tables: [{ image, edition: 0 }] });
  };
  begin();
  assert.equal(await heard.promise, "started");
  assert.deepEqual(threads.running, [0]);
  threads.post(0, { type: "nonsense" } as never);
  assert.match((await ended.promise)!.message, /expected a command, got nonsense/);
  assert.ok(!threads.isPresent(0) && !memory.statuses[0]!.isRunning());
  heard = Promise.withResolvers();
  begin();
  assert.equal(await heard.promise, "started");
  ended = Promise.withResolvers();
  threads.dismiss(0);
  assert.equal(await ended.promise, null);
});
