/** Which tables a packet goes on under, and which it begins under. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildTables } from "@rhone/pipeline-stages/test-network";
import type { Tables } from "@rhone/tables/generation";
import { GENERATIONS_HELD, TableHistory } from "./table-history.ts";

/** As where nobody else has to hold them. */
function replace(past: TableHistory, tables: Tables): void {
  past.hold(tables);
  past.begin(tables.edition);
}

test("what was replaced is held for a second, and no packet escapes a change for longer", () => {
  const [first, second, third] = [buildTables(3), buildTables(5), buildTables(6)];
  const past = new TableHistory(first);
  past.expire(2 ** 31 - 1200);
  replace(past, second);
  past.expire(2 ** 31 - 1000);
  replace(past, third);
  past.expire(2 ** 31 - 500);
  past.expire(2 ** 31 - 1);
  assert.equal(past.find(3), first);
  past.expire(-(2 ** 31)); // The clock's 32 bits are over.
  assert.equal(past.find(3), third);
  assert.equal(past.find(5), second);
  past.expire(-(2 ** 31) + 500);
  assert.equal(past.find(5), third);
  assert.equal(past.at(1), null);
});

test("some generations are held, and others are served with the newest", () => {
  const first = buildTables(3);
  const past = new TableHistory(first);
  assert.equal(past.find(2), first);
  assert.equal(past.find(3), first);
  const second = buildTables(5);
  replace(past, second);
  assert.equal(past.find(3), first);
  assert.equal(past.find(4), first);
  assert.equal(past.find(5), second);
  assert.equal(past.find(9), second);
  const again = buildTables(5);
  replace(past, again);
  assert.equal(past.find(3), first);
  assert.equal(past.find(5), again);
  assert.equal(past.findEdition(second.edition), second);
  for (let held = 3; held < GENERATIONS_HELD; held++) replace(past, buildTables(4 + held));
  assert.equal(past.find(3), first);
  const newest = buildTables(20);
  replace(past, newest);
  assert.equal(past.find(3), newest);
  assert.equal(past.findEdition(first.edition), null);
  assert.equal(past.find(5), again);
});

test("after weeks without a change the tables before and after one are told apart", () => {
  for (const quietDays of [20, 24, 25, 30, 49, 50, 100]) {
    const after = (3_000_000_000 + quietDays * 86_400_000) >>> 0;
    const [first, second] = [buildTables(3_000_000_000), buildTables(after)];
    const past = new TableHistory(first);
    past.hold(second);
    assert.equal(past.find(3_000_000_000), first, `${quietDays} days`);
    assert.equal(past.find(after), second);
    const isAhead = [3_000_000_000, after].map((generation) => past.isAhead(generation));
    assert.deepEqual(isAhead, [false, false]);
  }
});

test("a packet is ahead whose tables are newer than all that are held", () => {
  const past = new TableHistory(buildTables(6), buildTables(4));
  const isAhead = [3, 4, 5, 6, 7].map((generation) => past.isAhead(generation));
  assert.deepEqual(isAhead, [false, false, false, false, true]);
});

test("what is held and not begun serves packets that began under it, and none that begin", () => {
  const [first, second, third] = [buildTables(3), buildTables(5), buildTables(6)];
  const past = new TableHistory(first);
  past.hold(second);
  past.hold(third);
  assert.equal(past.begun, first);
  assert.deepEqual([past.begunAge, past.find(5), past.foundAge], [2, second, 1]);
  assert.equal(past.find(9), third, "from who is ahead of us");
  assert.equal(past.find(2), first, "from who is behind: as if it began here");
  past.expire(0);
  past.expire(5000);
  assert.equal(past.at(2), first, "nothing has taken its place");
  assert.ok(past.begin(second.edition));
  assert.deepEqual([past.begun, past.begunAge], [second, 1]);
  past.expire(5000);
  assert.equal(past.find(3), first);
  past.expire(6000);
  assert.equal(past.at(2), null);
  assert.ok(past.begin(third.edition));
  assert.ok(!past.begin(first.edition), "it is not held any more");
  assert.equal(past.begun, third);
});

test("who comes by an older edition never goes on under a newer one than who comes behind", () => {
  const all = Array.from({ length: GENERATIONS_HELD + 4 }, () => buildTables(5));
  const past = new TableHistory(all[1]!);
  for (const tables of all.slice(2, -2)) {
    past.hold(tables);
    past.begin(tables.edition);
  }
  past.begin(all[5]!.edition); // What it begins under is behind what others begin under.
  const ages = all.map(({ edition }) => {
    past.findNear(edition);
    return past.foundAge;
  });
  assert.deepEqual(
    ages,
    [...ages].sort((a, b) => b - a),
    "the oldest first",
  );
  for (const { edition } of all) {
    const exact = past.findEdition(edition);
    if (exact !== null) assert.equal(past.findNear(edition), exact);
  }
  assert.equal(past.findNear(all[0]!.edition), past.at(GENERATIONS_HELD - 1), "long gone");
  assert.equal(past.findNear(all.at(-1)!.edition), past.newest, "not here yet");
});

test("of one generation, what has waited here gets the edition that is begun", () => {
  const [first, again, later] = [buildTables(5), buildTables(5), buildTables(6)];
  const past = new TableHistory(first);
  past.hold(again);
  assert.equal(past.find(5), again);
  assert.deepEqual([past.findHere(5), past.foundAge], [first, 1]);
  past.begin(again.edition);
  assert.deepEqual([past.findHere(5), past.foundAge], [again, 0]);
  past.hold(later);
  assert.deepEqual([past.find(5), past.foundAge], [again, 1]);
  assert.deepEqual([past.findNewest(), past.foundAge], [later, 0]);
  assert.deepEqual([past.findHere(6), past.foundAge], [later, 0]);
});

test("what packets begin under is held however many newer ones come", () => {
  const first = buildTables(3);
  const past = new TableHistory(first);
  const later = Array.from({ length: GENERATIONS_HELD + 3 }, (_, i) => buildTables(5 + i));
  for (const tables of later) past.hold(tables);
  assert.equal(past.begun, first);
  assert.equal(past.find(4), first);
  assert.equal(past.at(GENERATIONS_HELD), null);
  assert.equal(past.newest, later.at(-1));
  assert.ok(past.begin(later.at(-1)!.edition));
});

test("numbers of generations go on behind 32 bits", () => {
  const [last, first] = [buildTables(2 ** 32 - 1), buildTables(2)];
  const past = new TableHistory(last);
  past.hold(first);
  assert.equal(past.find(2 ** 32 - 1), last);
  assert.equal(past.find(1), last);
  assert.equal(past.find(2), first);
  assert.equal(past.find(3), first);
});
