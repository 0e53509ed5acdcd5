import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { createMemoryStore } from "./memory-store.ts";
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
        assert.equal(store.merge(peer.entries()), twin.merge(peer.entries()));
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

test("a damaged, foreign or unreachable file is refused with the remedy", async (t) => {
  const noise = statePath(t);
  writeFileSync(noise, "this is no database, ".repeat(100));
  assert.match(messageOf(noise), /damaged \(.*\)\. Move the file/);
  assert.match(messageOf(join(noise, "below")), /cannot be opened/);

  const foreign = statePath(t);
  const database = new DatabaseSync(foreign);
  database.exec("CREATE TABLE theirs (x)");
  database.close();
  assert.match(messageOf(foreign), /database of another program/);

  const row = statePath(t);
  const store = opened(row);
  assert.ok(store.transact([put("web", "x")], "user").ok);
  store.close();
  const editor = new DatabaseSync(row);
  editor.exec('UPDATE entries SET value = \'{"kind":"switch"\'');
  editor.close();
  assert.match(messageOf(row), /damaged in the row of switch "web"/);
});

test("a file with a torn page is refused", async (t) => {
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
  assert.match(messageOf(path), /Move the file/);
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
  assert.match(run.stdout, /6 passed/);
});
