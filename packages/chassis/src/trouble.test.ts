import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryStore } from "@rhone/state/memory-store";
import { put } from "@rhone/state/peer-fixture";
import { CompileError } from "./compile-error.ts";
import { documentsCheck, troubleWith } from "./trouble.ts";

const NONE = { partials: new Set<string>() };

test("the object that cannot be compiled says why, the others nothing", () => {
  const cause = new RangeError("expected at most 3 names, got 4");
  const failed = { culprit: new CompileError("switch", "web", cause) };
  assert.equal(
    troubleWith("switch", "web", failed, NONE),
    "cannot be compiled, so the tables before stay in force: expected at most 3 names, got 4",
  );
  assert.equal(troubleWith("switch", "db", failed, NONE), null);
  assert.equal(troubleWith("port", "web", failed, NONE), null);
  assert.equal(troubleWith("switch", "web", { culprit: null }, NONE), null);
});

test("what a later version wrote is named, by health and by itself", () => {
  const store = createMemoryStore("a");
  assert.equal(documentsCheck(store.partials).ok, true);
  store.merge([
    ...put({ clock: 5, origin: "b" }, { kind: "switch", name: "db", description: 1 }),
    ...put({ clock: 6, origin: "b" }, { kind: "switch", name: "web" }),
  ]);
  const { ok, detail } = documentsCheck(store.partials);
  assert.equal(ok, false);
  assert.match(detail, /^of switch db something is not in force: a later version wrote it/);
  assert.match(troubleWith("switch", "db", { culprit: null }, store)!, /a later version wrote it/);
  assert.equal(troubleWith("switch", "web", { culprit: null }, store), null);
  store.merge(put({ clock: 7, origin: "b" }, { kind: "switch", name: "db" }));
  assert.equal(documentsCheck(store.partials).ok, true);
});
