import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { open, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { createMemoryStore } from "./memory-store.ts";
import { everythingOf } from "./peer-fixture.ts";
import { openSqliteStore } from "./sqlite-store.ts";
import type { Change, Store } from "./store.ts";

const isDeno = "Deno" in globalThis;
const TIMEOUT_MS = 30_000;

/** The path of a state file that does not exist yet; it is gone after the test. */
function statePath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), `rhone-state-${process.pid}-`));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "state.sqlite");
}

function opened(path: string): Store {
  const result = openSqliteStore({ path, origin: "a" });
  assert.ok(result.ok, result.ok ? "" : result.error.message);
  return result.value;
}

function messageOf(path: string): string {
  const result = openSqliteStore({ path, origin: "a" });
  if (result.ok) result.value.close();
  assert.ok(!result.ok, "the file was opened");
  assert.equal(result.error.code, "unusable");
  assert.ok(result.error.message.startsWith(`state file ${path}: `), result.error.message);
  return result.error.message;
}

function put(name: string, description: string): Change {
  return { op: "put", document: { kind: "switch", name, description } };
}

test("everything is there after closing and opening, tombstones too", (t) => {
  const path = statePath(t);
  const store = opened(path);
  assert.ok(store.transact([put("web", "x"), put("db", "y")], "user").ok);
  assert.ok(store.transact([{ op: "delete", kind: "switch", name: "db" }], "user").ok);
  const entries = store.entries();
  const snapshot = store.snapshot();
  store.close();
  const again = opened(path);
  t.after(() => again.close());
  assert.deepEqual(again.entries(), entries);
  assert.deepEqual(again.snapshot(), snapshot);
  assert.equal(again.revision, 2);
});

test("does what the memory store does, and still has it after opening again", (t) => {
  const name = fc.constantFrom("web", "db", "tenant");
  const change: fc.Arbitrary<Change> = fc.oneof(
    fc.tuple(name, fc.constantFrom("1", "2")).map(([n, text]) => put(n, text)),
    name.map((n): Change => ({ op: "delete", kind: "switch", name: n })),
  );
  const transactions = fc.array(fc.array(change, { maxLength: 3 }), { maxLength: 8 });
  const run = (all: readonly (readonly Change[])[]) => {
    const path = statePath(t);
    const store = opened(path);
    const twin = createMemoryStore("a");
    const peer = createMemoryStore("b");
    for (const [i, changes] of all.entries()) {
      if (i % 3 === 2) {
        peer.transact(changes, "user");
        assert.deepEqual(store.merge(everythingOf(peer)), twin.merge(everythingOf(peer)));
      } else assert.deepEqual(store.transact(changes, "user"), twin.transact(changes, "user"));
    }
    store.close();
    const again = opened(path);
    assert.deepEqual(again.entries(), twin.entries());
    assert.deepEqual(again.snapshot(), twin.snapshot());
    again.close();
  };
  fc.assert(fc.property(transactions, run), { numRuns: 25 });
});

test("a foreign or unreachable file is refused with the remedy", (t) => {
  const path = statePath(t);
  opened(path).close();
  assert.match(messageOf(join(path, "below")), /cannot be opened/);

  const foreign = statePath(t);
  const database = new DatabaseSync(foreign);
  database.exec("CREATE TABLE theirs (x)");
  database.close();
  assert.match(messageOf(foreign), /database of another program/);
});

test("a file of format 1 is taken over", (t) => {
  const path = statePath(t);
  const old = new DatabaseSync(path);
  old.exec(`
    CREATE TABLE entries (
      kind TEXT NOT NULL, name TEXT NOT NULL, created_clock INTEGER NOT NULL,
      created_origin TEXT NOT NULL, clock INTEGER NOT NULL, origin TEXT NOT NULL, value TEXT,
      PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO entries VALUES
      ('switch', 'web', 1, 'a', 3, 'b', '{"kind":"switch","name":"web","description":"x"}'),
      ('switch', 'db', 2, 'a', 2, 'a', '{"kind":"switch","name":"db"}'),
      ('switch', 'gone', 2, 'a', 4, 'a', NULL),
      ('binding', 'vm1', 1, 'b', 1, 'b', '{"kind":"binding","name":"vm1","chassis":"b","up":true}');
    PRAGMA application_id = ${0x52686f6e};
    PRAGMA user_version = 1`);
  old.close();
  for (let times = 0; times < 2; times++) {
    const store = opened(path);
    assert.equal(store.repair, null);
    assert.equal(store.revision, 4);
    assert.equal(store.partials.size, 0, "what is said otherwise now is left out");
    assert.deepEqual(
      store.entries().map(({ name, created, value }) => [name, created.clock, value !== null]),
      [
        ["db", 2, true],
        ["gone", 4, false],
        ["web", 1, true],
      ],
    );
    store.close();
  }
});

/** The names of the switches. */
function namesIn(store: Store): string[] {
  return store.snapshot().switches.map(({ name }) => name);
}

test("a file that is no database is moved aside", (t) => {
  const path = statePath(t);
  writeFileSync(path, "this is no database, ".repeat(100));
  const store = opened(path);
  t.after(() => store.close());
  assert.match(store.repair!, /damaged \(.*not a database.*\) and is now .*damaged-1; 0 writes/);
  assert.ok(store.transact([put("web", "x")], "user").ok);
  assert.match(readFileSync(`${path}.damaged-1`, "utf8"), /^this is no database/);
});

test("of a damaged row the others are kept, and a peer brings what it was", (t) => {
  for (const damage of [
    "UPDATE writes SET text = replace(text, 'secret', 'public') WHERE name = 'web'",
    "UPDATE writes SET name = 'wob' WHERE name = 'web'",
    "UPDATE seals SET clock = 9 WHERE clock = 1",
    "UPDATE vector SET clock = 1000",
  ]) {
    const path = statePath(t);
    const store = opened(path);
    assert.ok(store.transact([put("web", "secret")], "user").ok);
    assert.ok(store.transact([put("db", "x")], "user").ok);
    const peer = createMemoryStore("b");
    peer.merge(everythingOf(store), store.vector);
    const root = store.root;
    store.close();
    const editor = new DatabaseSync(path);
    editor.exec(damage);
    editor.close();
    const again = opened(path);
    assert.match(again.repair ?? "", /damaged \(in/, damage);
    assert.ok(namesIn(again).includes("db"), damage);
    assert.deepEqual(again.vector, {}, "everything is asked for");
    again.merge(peer.behind(again.vector, null, 1e6).portions, peer.vector);
    assert.equal(again.root, root);
    assert.deepEqual(again.vector, { a: 2 });
    again.close();
    const healed = opened(path);
    assert.equal(healed.repair, null);
    assert.equal(healed.root, root);
    healed.close();
  }
});

test("whatever bit of the file is wrong, nothing false is in force", (t) => {
  const path = statePath(t);
  const store = opened(path);
  for (let i = 0; i < 30; i++) {
    assert.ok(store.transact([put(`s${i}`, "x".repeat(i * 10))], "user").ok);
  }
  const all = new Map(store.entries().map((entry) => [entry.name, JSON.stringify(entry)]));
  store.close();
  const sound = readFileSync(path);
  const seen = { repaired: 0, refused: 0, unharmed: 0 };
  const flip = (bit: number): void => {
    const bytes = Buffer.from(sound);
    bytes[bit >>> 3]! ^= 1 << (bit & 7);
    writeFileSync(path, bytes);
    const result = openSqliteStore({ path, origin: "a" });
    if (!result.ok) seen.refused++;
    else {
      const { value } = result;
      for (const entry of value.entries()) {
        assert.equal(JSON.stringify(entry), all.get(entry.name), `bit ${bit}`);
      }
      const isWhole = value.entries().length === all.size;
      assert.ok(isWhole || value.repair !== null, `bit ${bit}: something is gone unnoticed`);
      seen[value.repair === null ? "unharmed" : "repaired"]++;
      value.close();
    }
    for (const file of readdirSync(dirname(path))) rmSync(join(dirname(path), file));
  };
  const bits = fc.integer({ min: 0, max: sound.length * 8 - 1 });
  fc.assert(fc.property(bits, flip), { numRuns: 100 });
  t.diagnostic(JSON.stringify(seen));
  assert.ok(seen.repaired > 0);
});

test("a file with a torn page is moved aside", async (t) => {
  const path = statePath(t);
  const store = opened(path);
  for (let i = 0; i < 40; i++) {
    const changes = Array.from({ length: 5 }, (_, j) => put(`s${i}-${j}`, "x".repeat(200)));
    assert.ok(store.transact(changes, "user").ok);
  }
  store.close();
  const pages = (await readFile(path)).length / 4096;
  assert.ok(pages > 8);
  const file = await open(path, "r+");
  for (let page = 1; page < pages; page++)
    await file.write(Buffer.alloc(64, 0xff), 0, 64, page * 4096);
  await file.close();
  const again = opened(path);
  t.after(() => again.close());
  assert.match(again.repair!, /damaged/);
});

/** More than SQLite keeps in memory of a file, so that it reads from it again. */
function fill(store: Store): void {
  for (let i = 0; i < 40; i++) {
    const changes = Array.from({ length: 100 }, (_, j) => put(`s${i}-${j}`, "x".repeat(1000)));
    assert.ok(store.transact(changes, "user").ok);
  }
}

/** Overwrites the beginning of each page but the first of a file, and of its journal. */
async function spoil(path: string): Promise<void> {
  for (const name of [path, `${path}-wal`]) {
    const file = await open(name, "r+");
    const { size } = await file.stat();
    for (let at = 4096; at < size; at += 4096) await file.write(Buffer.alloc(64, 0xff), 0, 64, at);
    await file.close();
  }
}

test("damage that is found in operation is mended at once, with all that is known", async (t) => {
  const path = statePath(t);
  const store = opened(path);
  const peer = createMemoryStore("b");
  assert.ok(peer.transact([put("theirs", "y")], "user").ok);
  fill(store);
  await spoil(path);
  for (let i = 0; i < 40; i++) {
    const done = store.transact([put(`s${i}-7`, `after ${i}`)], "user");
    assert.ok(done.ok, done.ok ? "" : done.error.message);
  }
  assert.match(store.repair!, /damaged \(.*\) while it was in use, and is now .*damaged-1; all/);
  assert.equal(store.storageError, null);
  store.merge(everythingOf(peer), peer.vector);
  const { root, vector } = store;
  store.close();
  assert.deepEqual(
    readdirSync(dirname(path)).filter((name) => !name.includes("damaged")),
    ["state.sqlite"],
  );
  assert.match(readFileSync(`${path}.damaged-1`, "latin1"), /^SQLite format 3/);
  const again = opened(path);
  t.after(() => again.close());
  assert.equal(again.repair, null);
  assert.equal(again.root, root);
  assert.deepEqual(again.vector, vector);
});

test("where damage cannot be mended a write is refused, and taken once it can", async (t) => {
  const path = statePath(t);
  const store = opened(path);
  t.after(() => store.close());
  fill(store);
  await spoil(path);
  // Not even root can write to a file whose place a directory has.
  const obstacle = `${path}.new`;
  mkdirSync(obstacle);
  const writeAll = () => {
    const done = Array.from({ length: 40 }, (_, i) =>
      store.transact([put(`s${i}-7`, "z")], "user"),
    );
    return done.find(({ ok }) => !ok);
  };
  const refused = writeAll();
  assert.ok(refused?.ok === false && refused.error.code === "storage");
  assert.equal(store.repair, null);
  rmdirSync(obstacle);
  assert.equal(writeAll(), undefined);
  assert.notEqual(store.repair, null);
});

/** A process that runs `source` with this runtime; `store` is opened at `path`. */
function startOther(path: string, source: string): ReturnType<typeof spawn> {
  const module = new URL("./sqlite-store.ts", import.meta.url).href;
  const program = `
    import { openSqliteStore } from ${JSON.stringify(module)};
    const { value: store } = openSqliteStore({ path: ${JSON.stringify(path)}, origin: "a" });
    ${source}`;
  const argv = isDeno ? ["run", "-A", "-"] : ["--input-type=module", "-"];
  // Deno looks for packages from the working directory of a program that has no file.
  const cwd = fileURLToPath(new URL(".", import.meta.url));
  const other = spawn(process.execPath, argv, { cwd, stdio: ["pipe", "pipe", "inherit"] });
  other.stdin.end(program);
  return other;
}

test("one process has the file at a time", { timeout: TIMEOUT_MS }, async (t) => {
  const path = statePath(t);
  const other = startOther(path, `console.log("open"); setInterval(() => store, 1000);`);
  t.after(() => other.kill("SIGKILL"));
  await new Promise((resolve) => other.stdout!.once("data", resolve));
  assert.match(messageOf(path), /another process has it open/);
  const ended = new Promise((resolve) => other.once("exit", resolve));
  other.kill("SIGKILL");
  await ended;
  opened(path).close();
});

test("what was acknowledged survives SIGKILL", { timeout: TIMEOUT_MS }, async (t) => {
  const path = statePath(t);
  const other = startOther(
    path,
    `import { writeSync } from "node:fs";
    for (let i = 1; ; i++) {
      const document = { kind: "switch", name: "s" + (i % 50), description: String(i) };
      const done = store.transact([{ op: "put", document }], "user");
      if (!done.ok) break;
      writeSync(1, done.value.revision + "\\n");
    }`,
  );
  t.after(() => other.kill("SIGKILL"));
  let output = "";
  const ended = new Promise((resolve) => other.once("close", resolve));
  other.stdout!.on("data", (data) => {
    output += data;
    if (output.length > 500) other.kill("SIGKILL");
  });
  await ended;
  const acknowledged = Number(output.trimEnd().split("\n").at(-1));
  assert.ok(acknowledged > 50);
  const store = opened(path);
  t.after(() => store.close());
  assert.ok(store.revision >= acknowledged, `${store.revision} < ${acknowledged}`);
});

test("all of this holds on Deno", { skip: isDeno, timeout: 2 * TIMEOUT_MS }, () => {
  const deno = fileURLToPath(new URL("../../../node_modules/.bin/deno", import.meta.url));
  const file = fileURLToPath(import.meta.url);
  const run = spawnSync(deno, ["test", "-A", "--no-check", file], { encoding: "utf8" });
  assert.equal(run.status, 0, run.stdout + run.stderr);
  assert.match(run.stdout, /12 passed/);
});
