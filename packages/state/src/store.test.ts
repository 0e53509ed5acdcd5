import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createMemoryStore } from "./memory-store.ts";
import type { Entry } from "./record.ts";
import { type Disk, Replica } from "./replica.ts";
import { get } from "./state.ts";
import { CHANGES_MAX, type Change, type Store } from "./store.ts";

function put(name: string, description?: string): Change {
  const document = { kind: "switch", name, ...(description === undefined ? {} : { description }) };
  return { op: "put", document };
}

function remove(name: string): Change {
  return { op: "delete", kind: "switch", name };
}

function commit(store: Store, ...changes: Change[]): readonly Entry[] {
  const done = store.transact(changes, "user");
  assert.ok(done.ok, done.ok ? "" : done.error.message);
  return done.value.entries;
}

test("a transaction is one clock tick, whatever its size", () => {
  const store = createMemoryStore("a");
  const entries = commit(store, put("web"), put("db"));
  const version = { clock: 1, origin: "a" };
  assert.deepEqual(
    entries.map((entry) => entry.version),
    [version, version],
  );
  assert.equal(store.revision, 1);
  assert.deepEqual(
    store.snapshot().switches.map(({ name }) => name),
    ["db", "web"],
  );
});

test("what is so already makes no revision", () => {
  const store = createMemoryStore("a");
  commit(store, put("web", "x"));
  assert.deepEqual(commit(store, put("web", "x")), []);
  assert.deepEqual(commit(store), []);
  assert.equal(store.revision, 1);
  assert.equal(commit(store, put("web", "x"), put("db")).length, 1);
});

test("a refused transaction changes nothing", () => {
  const store = createMemoryStore("a");
  const done = store.transact([put("web"), put("NO"), remove("nope")], "user");
  assert.ok(!done.ok);
  assert.equal(done.error.code, "invalid");
  assert.deepEqual(
    done.error.problems.map(({ pointer }) => pointer),
    ["/1/name", "/2"],
  );
  assert.equal(store.revision, 0);
  assert.deepEqual(store.entries(), []);
});

test("deleting what does not exist, or no more, is not found", () => {
  const store = createMemoryStore("a");
  commit(store, put("web"));
  commit(store, remove("web"));
  const done = store.transact([remove("web")], "user");
  assert.ok(!done.ok && done.error.code === "not-found");
});

test("one name twice in a transaction is refused", () => {
  const done = createMemoryStore("a").transact([put("web"), put("web", "x")], "user");
  assert.ok(!done.ok && done.error.problems[0]!.pointer === "/1/name");
});

test("more changes than the limit are refused", () => {
  const changes = Array.from({ length: CHANGES_MAX + 1 }, (_, i) => put(`s${i}`));
  const done = createMemoryStore("a").transact(changes, "user");
  assert.ok(!done.ok && done.error.code === "invalid");
});

test("only a chassis writes what chassis state about themselves", () => {
  const store = createMemoryStore("a");
  const document = { kind: "binding", name: "vm1", chassis: "a", up: true };
  const change = { op: "put", document } as const;
  const refused = store.transact([change], "user");
  assert.ok(!refused.ok && refused.error.problems[0]!.pointer === "/0/kind");
  assert.ok(store.transact([change], "chassis").ok);
  const deleted = store.transact([{ op: "delete", kind: "binding", name: "vm1" }], "user");
  assert.ok(!deleted.ok && deleted.error.code === "invalid");
});

test("a snapshot stays as it was", () => {
  const store = createMemoryStore("a");
  commit(store, put("web"));
  const before = store.snapshot();
  commit(store, put("web", "changed"), put("db"));
  assert.equal(before.revision, 1);
  assert.equal(get(before, "switch", "web")?.value.description, undefined);
  assert.equal(get(before, "switch", "db"), undefined);
  assert.equal(get(store.snapshot(), "switch", "web")?.value.description, "changed");
});

test("a change made after a merge is later than everything merged", () => {
  const a = createMemoryStore("a");
  const z = createMemoryStore("z");
  for (let i = 0; i < 5; i++) commit(z, put("web", `${i}`));
  assert.equal(a.merge(z.entries()), 1);
  assert.equal(a.revision, 5);
  commit(a, put("web", "mine"));
  assert.equal(z.merge(a.entries()), 1);
  assert.equal(get(z.snapshot(), "switch", "web")?.value.description, "mine");
});

test("merging counts news only and leaves malformed entries out", () => {
  const a = createMemoryStore("a");
  const b = createMemoryStore("b");
  commit(b, put("web"), put("db"));
  const malformed = [null, { kind: "switch" }, { ...b.entries()[0], value: { kind: "x" } }];
  const entries = [...malformed, ...b.entries()] as Entry[];
  assert.equal(a.merge(entries), 2);
  assert.equal(a.merge(entries), 0);
  assert.deepEqual(a.entries(), b.entries());
});

test("listeners hear of each commit once, in order, also of those that they cause", () => {
  const store = createMemoryStore("a");
  const heard: string[] = [];
  store.onChange((entries) => {
    if (entries[0]!.name === "web") commit(store, put("db"));
  });
  const stop = store.onChange((entries, source) => {
    heard.push(`${source} ${entries.map(({ name }) => name)} ${store.revision}`);
  });
  commit(store, put("web"));
  store.merge([{ ...store.entries()[0]!, version: { clock: 9, origin: "b" } }]);
  store.merge(store.entries());
  stop();
  commit(store, put("tenant"));
  assert.deepEqual(heard, ["local web 2", "local db 2", "peer db 9"]);
});

/** A disk that can be full. */
class SmallDisk implements Disk {
  isFull = false;
  readonly written: Entry[] = [];

  write(entries: readonly Entry[]): void {
    if (this.isFull) throw new Error("database or disk is full");
    this.written.push(...entries);
  }

  close(): void {}
}

test("what the disk does not take is not acknowledged and not in force", () => {
  const disk = new SmallDisk();
  const store = new Replica("a", disk, []);
  disk.isFull = true;
  const done = store.transact([put("web")], "user");
  assert.ok(!done.ok && done.error.code === "storage");
  assert.deepEqual(store.snapshot().switches, []);
  disk.isFull = false;
  commit(store, put("web"));
  assert.equal(store.storageError, null);
});

test("peers' entries are in force while the disk is full, and written when it has room", () => {
  const b = createMemoryStore("b");
  commit(b, put("web"), put("db"));
  const disk = new SmallDisk();
  const store = new Replica("a", disk, []);
  disk.isFull = true;
  assert.equal(store.merge(b.entries()), 2);
  assert.equal(store.storageError, "database or disk is full");
  assert.equal(store.snapshot().switches.length, 2);
  disk.isFull = false;
  commit(store, put("web", "newer"));
  assert.equal(store.storageError, null);
  const names = disk.written.map(({ name, version }) => `${name} ${version.clock}`).sort();
  assert.deepEqual(names, ["db 1", "web 2"]);
});

type Step =
  | { readonly do: "change"; readonly at: number; readonly changes: readonly Change[] }
  | { readonly do: "send"; readonly from: number; readonly to: number };

test("stores that exchange entries in any order come to the same state", () => {
  const at = fc.integer({ min: 0, max: 2 });
  const name = fc.constantFrom("web", "db");
  const change = fc.oneof(
    fc.tuple(name, fc.constantFrom("1", "2", "3")).map(([n, text]) => put(n, text)),
    name.map(remove),
  );
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      do: fc.constant("change" as const),
      at,
      changes: fc.array(change, { minLength: 1, maxLength: 2 }),
    }),
    fc.record({ do: fc.constant("send" as const), from: at, to: at }),
  );
  const run = (steps: readonly Step[]) => {
    const stores = ["a", "b", "c"].map(createMemoryStore);
    for (const s of steps) {
      if (s.do === "change") stores[s.at]!.transact(s.changes, "user");
      else stores[s.to]!.merge(stores[s.from]!.entries());
    }
    for (const to of stores) for (const from of stores) to.merge(from.entries());
    for (const to of stores) for (const from of stores) to.merge(from.entries());
    const [first, ...others] = stores;
    for (const other of others) {
      assert.deepEqual(other.entries(), first!.entries());
      assert.deepEqual(other.snapshot(), first!.snapshot());
    }
  };
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), run), { numRuns: 300 });
});
