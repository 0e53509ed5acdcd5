import assert from "node:assert/strict";
import { test } from "node:test";
import type { Disk, DiskRecord } from "./disk.ts";
import type { Vector } from "./ledger.ts";
import { createMemoryStore } from "./memory-store.ts";
import { everythingOf } from "./peer-fixture.ts";
import { Replica } from "./replica.ts";
import type { Change, Store } from "./store.ts";
import { BEHIND_MS } from "./write-behind.ts";

function put(name: string, description?: string): Change {
  const document = { kind: "switch", name, ...(description === undefined ? {} : { description }) };
  return { op: "put", document };
}

function commit(store: Store, ...changes: Change[]): void {
  const done = store.transact(changes, "user");
  assert.ok(done.ok, done.ok ? "" : done.error.message);
}

/** A disk that can be full. */
class SmallDisk implements Disk {
  isFull = false;
  readonly written: DiskRecord[] = [];
  /** Of each write that worked. */
  readonly advances: Vector[] = [];

  write(records: readonly DiskRecord[], advances: Vector): void {
    if (this.isFull) throw new Error("database or disk is full");
    this.written.push(...records);
    this.advances.push(advances);
  }

  close(): void {}
}

test("what the disk does not take is not acknowledged and not in force", () => {
  const disk = new SmallDisk();
  const store = new Replica({ origin: "a", disk });
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
  const store = new Replica({ origin: "a", disk });
  disk.isFull = true;
  assert.equal(store.merge(everythingOf(b)).news, 2);
  assert.equal(store.storageError, "database or disk is full");
  assert.equal(store.snapshot().switches.length, 2);
  disk.isFull = false;
  commit(store, put("web", "newer"));
  assert.equal(store.storageError, null);
  const names = disk.written.map(({ name, writes }) => `${name} ${writes.map((w) => w.clock)}`);
  assert.deepEqual(names.sort(), ["db 1", "web 1,2"]);
  assert.deepEqual(disk.advances, [{ b: 1, a: 2 }]);
  commit(store, put("web", "newest"));
  assert.deepEqual(disk.advances.at(-1), { a: 3 }, "the disk has the rest");
});

/** Timers that run when they are told to. */
class Timers {
  readonly #waiting = new Map<() => void, number>();
  readonly setTimer = (callback: () => void, delayMs: number): (() => void) => {
    this.#waiting.set(callback, delayMs);
    return () => this.#waiting.delete(callback);
  };

  get delaysMs(): readonly number[] {
    return [...this.#waiting.values()];
  }

  run(): void {
    const due = [...this.#waiting.keys()];
    this.#waiting.clear();
    for (const callback of due) callback();
  }
}

test("what peers write is in force at once, and on the disk a little later, all of it", () => {
  const b = createMemoryStore("b");
  const disk = new SmallDisk();
  const timers = new Timers();
  const store = new Replica({ origin: "a", disk, setTimer: timers.setTimer });
  for (const name of ["web", "db"]) {
    commit(b, put(name));
    store.merge(everythingOf(b));
  }
  assert.equal(store.snapshot().switches.length, 2);
  assert.deepEqual([disk.written, timers.delaysMs], [[], [BEHIND_MS]]);
  timers.run();
  assert.deepEqual(disk.written.map(({ name }) => name).sort(), ["db", "web"]);
  assert.deepEqual([disk.advances, timers.delaysMs], [[{ b: 2 }], []]);
});

test("who commits, flushes or closes does not wait for that", () => {
  for (const end of ["commit", "flush", "close"] as const) {
    const b = createMemoryStore("b");
    const disk = new SmallDisk();
    const timers = new Timers();
    const store = new Replica({ origin: "a", disk, setTimer: timers.setTimer });
    commit(b, put("web"));
    store.merge(everythingOf(b));
    if (end === "commit") commit(store, put("db"));
    else if (end === "flush") assert.equal(store.flush(), true);
    else store.close();
    const names = disk.written.map(({ name }) => name).sort();
    assert.deepEqual(names, end === "commit" ? ["db", "web"] : ["web"], end);
    timers.run();
    assert.equal(disk.advances.length, 1, `${end}: nothing is written twice`);
  }
});

test("a full disk is asked again until it has room", () => {
  const b = createMemoryStore("b");
  const disk = new SmallDisk();
  const timers = new Timers();
  const store = new Replica({ origin: "a", disk, setTimer: timers.setTimer });
  disk.isFull = true;
  commit(b, put("web"));
  store.merge(everythingOf(b));
  timers.run();
  assert.equal(store.storageError, "database or disk is full");
  assert.equal(store.flush(), false);
  timers.run();
  assert.equal(timers.delaysMs.length, 1);
  disk.isFull = false;
  timers.run();
  assert.deepEqual([store.storageError, disk.advances], [null, [{ b: 1 }]]);
});
