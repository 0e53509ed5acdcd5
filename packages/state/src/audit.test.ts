import assert from "node:assert/strict";
import { test } from "node:test";
import { AUDIT_MAX, type AuditDocument, auditName, isAuditNameOf } from "./audit.ts";
import { isName } from "./document.ts";
import { createMemoryStore } from "./memory-store.ts";
import type { Companion, Store } from "./store.ts";

const LONG = "x".repeat(63);

function entry(sequence: number, revision: number): AuditDocument {
  return {
    kind: "audit",
    name: auditName("a", sequence),
    ...{ chassis: "a", sequence, revision },
    ...{ at: "2030-01-31T12:00:00.000Z", who: "ci", from: "unix" },
    ...{ method: "PUT", path: "/v1/switches/web" },
    targets: [{ kind: "switch", name: "web", change: "created" }],
    targetCount: 1,
  } as AuditDocument;
}

function put(store: Store, name: string, companion: Companion): void {
  const document = { kind: "switch", name };
  const done = store.transact([{ op: "put", document }], "user", companion);
  assert.ok(done.ok, JSON.stringify(done));
}

test("the ring of a chassis has as many names as it keeps entries, and no other's", () => {
  const names = Array.from({ length: 2 * AUDIT_MAX }, (_, i) => auditName(LONG, i + 1));
  assert.equal(new Set(names).size, AUDIT_MAX);
  for (const name of names) {
    assert.ok(isName(name), name);
    assert.ok(isAuditNameOf(LONG, name));
    assert.equal(isAuditNameOf("x".repeat(62), name), false);
  }
});

test("a companion is written with the change that it tells of, and not without one", () => {
  const store = createMemoryStore("a");
  let count = 0;
  const companion: Companion = ({ revision, entries }) => {
    assert.equal(entries.length, 1);
    return entry(++count, revision);
  };
  put(store, "web", companion);
  put(store, "web", companion);
  assert.equal(count, 1);
  const [audit] = store.snapshot().audits;
  assert.deepEqual(audit?.version, store.snapshot().switches[0]?.version);
  assert.equal(audit?.value.revision, store.revision);
});

test("users write neither tokens nor the log", () => {
  const store = createMemoryStore("a");
  const done = store.transact([{ op: "put", document: entry(1, 1) }], "user");
  assert.ok(!done.ok && done.error.code === "invalid");
});
