import assert from "node:assert/strict";
import { test } from "node:test";
import { Appender, asShared, sharedWords } from "./shared-words.ts";

function appended(appender: Appender, before: Int32Array, word: number): Int32Array {
  const after = appender.append(before, 1);
  after[before.length] = word;
  return after;
}

test("what was appended stands behind the same words, which are copied once", () => {
  const appender = new Appender();
  const first = sharedWords(2).fill(7);
  const second = appended(appender, first, 8);
  const third = appended(appender, second, 9);
  assert.deepEqual([...third], [7, 7, 8, 9]);
  assert.equal(third.buffer, second.buffer);
  assert.notEqual(second.buffer, first.buffer);
  assert.deepEqual([...second], [7, 7, 8]);
});

test("two tables that go on from the same one do not see each other's words", () => {
  const appender = new Appender();
  const common = appended(appender, sharedWords(1), 1);
  const one = appended(appender, common, 2);
  const other = appended(appender, common, 3);
  assert.deepEqual([...one], [0, 1, 2]);
  assert.deepEqual([...other], [0, 1, 3]);
});

test("a table grows beyond any spare room", () => {
  const appender = new Appender();
  let words = sharedWords(0);
  for (let i = 0; i < 20_000; i++) words = appended(appender, words, i);
  assert.ok(words.every((word, i) => word === i));
});

test("words that are shared already stay where they are", () => {
  const shared = sharedWords(3);
  assert.equal(asShared(shared), shared);
  const copy = asShared(Int32Array.of(1, 2));
  assert.ok(copy.buffer instanceof SharedArrayBuffer);
  assert.deepEqual([...copy], [1, 2]);
});
