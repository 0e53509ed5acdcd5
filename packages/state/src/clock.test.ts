/** How the clock of writes and the wall clocks of chassis stand to each other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { wallMsOf } from "./clock.ts";
import { createMemoryStore } from "./memory-store.ts";
import { everythingOf } from "./peer-fixture.ts";
import type { Store } from "./store.ts";

const DAY_MS = 86_400_000;

function write(store: Store, name: string, description = ""): void {
  const document = { kind: "switch", name, description };
  const done = store.transact([{ op: "put", document }], "user");
  assert.ok(done.ok, done.ok ? "" : done.error.message);
}

test("what is far ahead of the clock is not taken, before it is time", () => {
  let wallMs = Date.UTC(2030, 0, 1);
  const [now, late] = [() => wallMs, () => wallMs + 3 * DAY_MS];
  const a = createMemoryStore("a", { wallClock: now });
  const b = createMemoryStore("b", { wallClock: late });
  write(b, "web");
  assert.deepEqual(a.merge(everythingOf(b)).refused, [{ reason: "seal-future", origin: "b" }]);
  wallMs += 2 * DAY_MS;
  assert.equal(a.merge(everythingOf(b)).news, 1);
  write(a, "db");
  assert.ok(a.revision > b.revision, "later than what it knew");
});

test("many changes within a moment put the clock ahead, and peers take them all the same", () => {
  const wallClock = (): number => Date.UTC(2030, 0, 1);
  const [a, b] = ["a", "b"].map((name) => createMemoryStore(name, { wallClock }));
  for (let i = 0; i < 500; i++) write(a!, "web", `${i}`);
  const { news, refused } = b!.merge(everythingOf(a!), a!.vector);
  assert.deepEqual([news > 0, refused], [true, []]);
  assert.equal(a!.root, b!.root);
});

test("two that write in turns, hundreds a second, stay with the wall clock", () => {
  let wallMs = Date.UTC(2030, 0, 1);
  const [a, b] = ["a", "b"].map((name) => createMemoryStore(name, { wallClock: () => wallMs }));
  for (let i = 0; i < 500; i++) {
    const [writer, other] = i % 2 === 0 ? [a!, b!] : [b!, a!];
    wallMs += 2;
    write(writer, "web", `${i}`);
    assert.deepEqual(other.merge(everythingOf(writer), writer.vector).refused, []);
    assert.equal(wallMsOf(writer.revision), wallMs);
  }
});
