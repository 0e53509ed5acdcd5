import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { KNOWLEDGE_AGE_MAX_MS, KnowledgeTime } from "@rhone/rings/knowledge-time";
import { createMemoryStore } from "@rhone/state/memory-store";
import { Knowledge } from "./knowledge.ts";

function make(t: TestContext) {
  const store = createMemoryStore("a");
  for (const [name, seconds] of [
    ["db", { maxStaleSeconds: 10 }],
    ["web", {}],
  ] as const) {
    const document = { kind: "switch", name, ...seconds };
    assert.ok(store.transact([{ op: "put", document }], "user").ok);
  }
  const world = {
    nowMs: 2 ** 31 - 5000,
    members: ["b", "c"],
    heldMs: {} as Record<string, number>,
  };
  const time = new KnowledgeTime();
  const knowledge = new Knowledge({
    ...{ store, time, now: () => world.nowMs },
    members: () => world.members.map((name) => ({ name })),
    peers: () => Object.entries(world.heldMs).map(([name, heldMs]) => ({ name, heldMs })),
  });
  t.after(() => knowledge.stop());
  const ageInWorkers = (): number => {
    knowledge.look();
    return time.ageMs(world.nowMs | 0);
  };
  return { knowledge, world, time, ageInWorkers };
}

test("workers see the age of what most chassis had, over the end of 31 bits", (t) => {
  const { world, time, ageInWorkers } = make(t);
  assert.equal(ageInWorkers(), KNOWLEDGE_AGE_MAX_MS, "nothing was heard");
  world.heldMs = { c: world.nowMs - 1000 };
  assert.equal(ageInWorkers(), 1000, "the one that lacks is not waited for");
  world.nowMs += 10_000;
  assert.equal(time.ageMs(world.nowMs | 0), 11_000, "it ages by itself");
  assert.equal(ageInWorkers(), 11_000);
  world.members = [];
  assert.equal(ageInWorkers(), 0, "alone it knows all");
});

test("health names the switches in which nothing begins", (t) => {
  const { knowledge, world } = make(t);
  assert.deepEqual(knowledge.check(), {
    ...{ name: "knowledge", ok: false },
    detail: "what most chassis have has not been known since the start: nothing begins in db",
  });
  world.heldMs = { b: world.nowMs - 10_000, d: world.nowMs };
  const well = { name: "knowledge", ok: true, detail: "what most chassis had 10 s ago is known" };
  assert.deepEqual(knowledge.check(), well);
  world.nowMs += 1000;
  assert.deepEqual(knowledge.check(), {
    ...{ name: "knowledge", ok: false },
    detail: "what most chassis had 11 s ago is known: nothing begins in db",
  });
});
