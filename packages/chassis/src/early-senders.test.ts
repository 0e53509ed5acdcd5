import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryStore } from "@rhone/state/memory-store";
import { parseAddress } from "@rhone/wire/address";
import { EarlySenders } from "./early-senders.ts";

function make() {
  const store = createMemoryStore("a");
  const documents = [
    { kind: "chassis", name: "b", underlay: "192.168.100.2" },
    { kind: "chassis", name: "c", underlay: "fd64:0:0::3" },
  ];
  for (const each of documents) {
    const document = { ...each, workers: 1, workersMax: 1, version: "1" };
    const result = store.transact([{ op: "put", document }], "chassis");
    assert.ok(result.ok, JSON.stringify(result));
  }
  const done: string[] = [];
  let nowMs = 0;
  const senders = new EarlySenders({ store, hurry: () => done.push("hurry"), now: () => nowMs });
  const hear = (address: string): string[] => {
    nowMs++;
    senders.report({ type: "early", address: [...parseAddress(address)!] });
    return done.splice(0);
  };
  return { senders, done, hear };
}

test("what the sender of early packets holds is fetched, and compiled at once", () => {
  const { senders, done, hear } = make();
  assert.deepEqual(hear("192.168.100.2"), ["hurry"]); // There is no gossip yet.
  senders.fetchBy((peer) => done.push(`want ${peer}`));
  assert.deepEqual(hear("192.168.100.2"), ["hurry", "want b"]);
  assert.deepEqual(hear("fd64::3"), ["hurry", "want c"]);
  assert.deepEqual(hear("192.168.100.9"), ["hurry"]);
  hear("fd64::3");
  assert.deepEqual(senders.latest, [
    { chassis: "c", address: "fd64::3", atMs: 5 },
    { chassis: null, address: "192.168.100.9", atMs: 4 },
    { chassis: "b", address: "192.168.100.2", atMs: 2 },
  ]);
});

test("what else workers say is not for it", () => {
  const { senders, done } = make();
  senders.fetchBy((peer) => done.push(`want ${peer}`));
  senders.report({ type: "started" });
  assert.deepEqual(done, []);
});
