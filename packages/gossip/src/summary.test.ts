import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryStore } from "@rhone/state/memory-store";
import { keyOf } from "@rhone/state/record";
import type { Store } from "@rhone/state/store";
import { Summary } from "./summary.ts";

function storeWith(names: readonly string[], description = "x"): Store {
  const store = createMemoryStore("c1");
  for (const name of names) {
    const document = { kind: "switch", name, description };
    assert.equal(store.transact([{ op: "put", document }], "user").ok, true);
  }
  return store;
}

test("two stores have the same hash once they hold the same, in whatever order it came", () => {
  const one = storeWith(["a", "b", "c"]);
  const other = createMemoryStore("c2");
  const summary = new Summary(other);
  for (const entry of one.entries().toReversed()) {
    assert.notEqual(summary.hash, new Summary(one).hash);
    other.merge([entry]);
    summary.invalidate();
  }
  assert.equal(summary.hash, new Summary(one).hash);
});

test("a tombstone changes the hash", () => {
  const store = storeWith(["a"]);
  const summary = new Summary(store);
  const before = summary.hash;
  assert.equal(store.transact([{ op: "delete", kind: "switch", name: "a" }], "user").ok, true);
  summary.invalidate();
  assert.match(summary.hash, /^[0-9a-f]{16}$/);
  assert.notEqual(summary.hash, before);
});

test("pages give every entry once, in order", () => {
  const names = Array.from({ length: 600 }, (_, i) => `s${i}`);
  const store = storeWith(names, "x".repeat(1024));
  const summary = new Summary(store);
  const seen: string[] = [];
  let after = "";
  let pageCount = 0;
  do {
    const page = summary.page(after);
    seen.push(...page.entries.map(keyOf));
    after = page.next;
    pageCount++;
  } while (after !== "");
  assert.deepEqual(seen, names.map((name) => `switch/${name}`).sort());
  assert.ok(pageCount >= 3, `${pageCount} pages`);
});

test("a page behind the end is empty and the last", () => {
  const summary = new Summary(storeWith(["a"]));
  assert.deepEqual(summary.page("zzz"), { entries: [], next: "" });
});
