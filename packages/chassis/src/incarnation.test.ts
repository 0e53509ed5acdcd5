import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { beginLife } from "./incarnation.ts";

const WALL_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "rhone-life-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

test("a chassis that starts when its clock was set back has a greater number than before", (t) => {
  const directory = join(directoryOf(t), "data");
  const begin = (wallMs: number) => beginLife(directory, wallMs, assert.ifError);
  assert.deepEqual(begin(WALL_MS), { incarnation: WALL_MS, isFirst: true });
  assert.deepEqual(begin(WALL_MS - HOUR_MS), { incarnation: WALL_MS + 1, isFirst: false });
  assert.equal(begin(WALL_MS - HOUR_MS).incarnation, WALL_MS + 2);
  assert.equal(begin(WALL_MS + HOUR_MS).incarnation, WALL_MS + HOUR_MS);
});

test("a file with something else is none, and one that cannot be written stops nobody", (t) => {
  const directory = directoryOf(t);
  for (const text of ["", "later", "-5", "1.5", "\u0000"]) {
    writeFileSync(join(directory, "incarnation"), text);
    const life = beginLife(directory, WALL_MS, assert.ifError);
    assert.deepEqual(life, { incarnation: WALL_MS, isFirst: true }, text);
  }
  const errors: Error[] = [];
  const inFile = join(directory, "incarnation");
  const life = beginLife(inFile, WALL_MS, (error) => errors.push(error));
  assert.equal(life.incarnation, WALL_MS);
  assert.equal(errors.length, 1);
});
