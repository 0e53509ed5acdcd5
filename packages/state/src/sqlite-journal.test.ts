import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { journalDamage } from "./sqlite-journal.ts";
import { openSqliteStore } from "./sqlite-store.ts";
import type { Store } from "./store.ts";

const WRITES = 12;

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), `rhone-journal-${process.pid}-`));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

function opened(path: string): Store {
  const result = openSqliteStore({ path, origin: "a" });
  assert.ok(result.ok, result.ok ? "" : result.error.message);
  return result.value;
}

function write(store: Store, count: number, text: string): void {
  for (let i = 0; i < count; i++) {
    const document = { kind: "switch", name: `s${i}`, description: `${text} ${i}` };
    assert.ok(store.transact([{ op: "put", document }], "user").ok);
  }
}

/** The files of a store whose process was killed after its last write. */
function killed(t: TestContext): { readonly file: Buffer; readonly journal: Buffer } {
  const path = join(directoryOf(t), "state.sqlite");
  const store = opened(path);
  write(store, WRITES, "first");
  const files = { file: readFileSync(path), journal: readFileSync(`${path}-wal`) };
  store.close();
  return files;
}

test("the journal of a process that was killed is sound, and so is one that began anew", (t) => {
  const { file, journal } = killed(t);
  assert.equal(journalDamage(journal), null);
  const path = join(directoryOf(t), "state.sqlite");
  writeFileSync(path, file);
  writeFileSync(`${path}-wal`, journal);
  const store = opened(path);
  t.after(() => store.close());
  assert.equal(store.repair, null);
  assert.equal(store.entries().length, WRITES);
  // SQLite writes over the beginning once it has copied 1000 pages to the file.
  for (let round = 0; round < 40; round++) write(store, WRITES, `${round}`.padEnd(1000, "x"));
  const anew = readFileSync(`${path}-wal`);
  assert.equal(journalDamage(anew), null);
  assert.ok(anew.readUInt32BE(12) > journal.readUInt32BE(12), "it did not begin anew");
});

test("whatever bit of the journal is wrong is noticed, and nothing false is in force", (t) => {
  const { file, journal } = killed(t);
  const whole = new Map<string, string>();
  const bits = fc.integer({ min: 0, max: journal.length * 8 - 1 });
  const directory = directoryOf(t);
  const path = join(directory, "state.sqlite");
  writeFileSync(path, file);
  writeFileSync(`${path}-wal`, journal);
  const sound = opened(path);
  for (const entry of sound.entries()) whole.set(entry.name, JSON.stringify(entry));
  sound.close();
  let number = 0;
  fc.assert(
    fc.property(bits, (bit) => {
      const bytes = Buffer.from(journal);
      bytes[bit >>> 3]! ^= 1 << (bit & 7);
      assert.match(journalDamage(bytes)!, /journal$/, `bit ${bit}`);
      const copy = join(directory, `${number++}.sqlite`);
      writeFileSync(copy, file);
      writeFileSync(`${copy}-wal`, bytes);
      const store = opened(copy);
      assert.match(store.repair!, /was damaged \(in .* of the journal\)/);
      for (const entry of store.entries()) {
        assert.equal(JSON.stringify(entry), whole.get(entry.name), `bit ${bit}`);
      }
      assert.deepEqual(store.vector, {}, "whatever a peer has is asked for");
      store.close();
      assert.ok(readFileSync(`${copy}.damaged-1-wal-as-found`).equals(bytes));
    }),
    { numRuns: 60 },
  );
});

test("a journal that ends in the middle is what a crash leaves", (t) => {
  const { journal } = killed(t);
  for (const size of [0, 1, 31, 32, 100, journal.length - 1]) {
    assert.equal(journalDamage(journal.subarray(0, size)), null, `${size} bytes`);
  }
});
