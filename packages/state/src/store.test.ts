import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bindingName } from "./claim.ts";
import { createMemoryStore } from "./memory-store.ts";
import { everythingOf, put as peerPut } from "./peer-fixture.ts";
import type { Entry } from "./record.ts";
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
  const name = bindingName("vm1", "a");
  const document = { kind: "binding", name, port: "vm1", chassis: "a", epoch: 1, up: true };
  const change = { op: "put", document } as const;
  const refused = store.transact([change], "user");
  assert.ok(!refused.ok && refused.error.problems[0]!.pointer === "/0/kind");
  assert.ok(store.transact([change], "chassis").ok);
  const deleted = store.transact([{ op: "delete", kind: "binding", name }], "user");
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
  a.merge(everythingOf(z));
  assert.equal(a.revision, 5);
  commit(a, put("web", "mine"));
  assert.equal(z.merge(everythingOf(a)).news, 1);
  assert.equal(get(z.snapshot(), "switch", "web")?.value.description, "mine");
});

test("merging counts news only and says what it did not take", () => {
  const a = createMemoryStore("a");
  const b = createMemoryStore("b");
  commit(b, put("web"), put("db"));
  const [portion] = everythingOf(b);
  const [web, db] = portion!.texts;
  const wrong = [
    { seal: { ...portion!.seal, part: 1 }, texts: [] },
    { seal: portion!.seal, texts: ["", "[]", web!.replace("web", "wob"), `${db} `] },
    ...peerPut({ clock: 2, origin: "b" }, { kind: "chassis", name: "c" }),
    ...peerPut({ clock: 3, origin: "b" }, { kind: "audit", name: "1-0" }),
  ];
  const { news, refused } = a.merge([...wrong, portion!]);
  assert.equal(news, 2);
  assert.deepEqual(refused, [
    { reason: "seal-malformed", origin: "b" },
    { reason: "write-malformed", origin: "b" },
    { reason: "write-malformed", origin: "b" },
    { reason: "write-not-sealed", origin: "b" },
    { reason: "write-not-sealed", origin: "b" },
    { reason: "write-not-owned", origin: "b" },
    { reason: "write-not-owned", origin: "b" },
  ]);
  assert.deepEqual(a.merge([portion!]), { news: 0, refused: [] });
  assert.deepEqual(a.entries(), b.entries());
  assert.equal(a.root, b.root);
});

test("of a transaction one part may be outlived by what brings the other part", () => {
  const a = createMemoryStore("a");
  const b = createMemoryStore("b");
  commit(b, put("web"), put("db"));
  const [first] = everythingOf(b);
  const isOf = (name: string) => (text: string) => text.includes(`"${name}"`);
  const [web, db] = ["web", "db"].map((name) => ({
    seal: first!.seal,
    texts: first!.texts.filter(isOf(name)),
  }));
  a.merge([web!]);
  commit(b, remove("web"));
  const deletion = everythingOf(b).filter(({ seal }) => seal.clock === 2);
  assert.equal(a.merge([...deletion, db!]).news, 2);
  assert.deepEqual(a.entries(), b.entries());
  assert.equal(a.root, b.root);
});

test("of what a later version wrote nothing is lost, and what can be read is in force", () => {
  const store = createMemoryStore("a");
  const later = [
    ...peerPut({ clock: 5, origin: "b" }, { kind: "planet", name: "x", moons: 2 }),
    ...peerPut({ clock: 6, origin: "b" }, { kind: "switch", name: "web", color: "red" }),
    ...peerPut({ clock: 7, origin: "b" }, { kind: "switch", name: "db", description: 1 }),
  ];
  assert.deepEqual(store.merge(later), { news: 3, refused: [] });
  assert.deepEqual([...store.partials].sort(), ["planet/x", "switch/db"]);
  commit(store, put("web", "x"));
  assert.deepEqual(
    store.snapshot().switches.map(({ value }) => value),
    [{ kind: "switch", name: "web", description: "x" }],
  );
  const other = createMemoryStore("c");
  other.merge(everythingOf(store));
  assert.equal(other.root, store.root);
  assert.match(JSON.stringify(everythingOf(other)), /color.*red/);
  assert.match(JSON.stringify(everythingOf(other)), /moons/);
});

test("what is changed in different fields and elements at two places is all there", () => {
  const [a, b] = [createMemoryStore("a"), createMemoryStore("b")];
  const router = { kind: "router", name: "r", ports: [], routes: [] };
  const ports = ["web", "db"].map((name, i) => ({
    ...{ name, switch: name, mac: `02:00:00:00:00:0${i}`, addresses: [`10.0.${i}.1/24`] },
  }));
  commit(a, put("web"), put("db"), { op: "put", document: { ...router, ports } });
  b.merge(everythingOf(a));
  const route = (prefix: string) => ({ prefix, nextHop: "10.0.1.9" });
  const [here, there] = [route("10.1.0.0/16"), route("10.2.0.0/16")];
  commit(a, { op: "put", document: { ...router, ports, routes: [here] } });
  commit(b, { op: "put", document: { ...router, ports: [ports[1]], routes: [there] } });
  a.merge(everythingOf(b));
  b.merge(everythingOf(a));
  assert.deepEqual(a.snapshot(), b.snapshot());
  const { value } = get(a.snapshot(), "router", "r")!;
  assert.deepEqual(value.ports, [ports[1]]);
  assert.deepEqual(value.routes.map(({ prefix }) => prefix).sort(), ["10.1.0.0/16", "10.2.0.0/16"]);
});

test("a list whose elements come and go does not grow", () => {
  const store = createMemoryStore("a");
  const port = { kind: "port", name: "vm1", switch: "web" };
  commit(store, put("web"));
  const created = store.revision + 1;
  for (let i = 0; i < 500; i++) {
    const addresses = [`10.0.${i >>> 7}.${(i & 127) + 1}`, "10.9.9.9"];
    commit(store, { op: "put", document: { ...port, addresses } });
  }
  const texts = everythingOf(store).flatMap(({ texts }) => texts);
  assert.ok(texts.length < 80, `${texts.length} writes`);
  const entry = get(store.snapshot(), "port", "vm1")!;
  assert.deepEqual(entry.value.addresses, ["10.0.3.116", "10.9.9.9"]);
  assert.equal(entry.created.clock, created);
});

test("what a later version has in a document outlives every change that is made here", () => {
  const store = createMemoryStore("a");
  commit(store, put("web"));
  const [port, rule] = [
    { kind: "port", name: "vm1", switch: "web", addresses: ["10.9.9.9"] },
    { kind: "acl", name: "r", switch: "web", direction: "to-port", match: {}, action: "allow" },
  ];
  store.merge([
    ...peerPut({ clock: 5, origin: "b" }, { ...port, color: "red" }),
    ...peerPut({ clock: 6, origin: "b" }, { ...rule, priority: 1, shade: "light" }),
  ]);
  for (let i = 0; i < 200; i++) {
    const addresses = [`10.0.${i >>> 7}.${(i & 127) + 1}`];
    commit(store, { op: "put", document: { ...port, addresses } });
    commit(store, { op: "put", document: { ...rule, priority: i + 2 } });
  }
  assert.equal(get(store.snapshot(), "acl", "r")!.value.priority, 201);
  const texts = everythingOf(store).flatMap((portion) => portion.texts);
  assert.match(texts.join(), /"color":"red"/);
  assert.match(texts.join(), /"shade":"light"/);
});

test("vectors say what another store lacks", () => {
  const [a, b] = [createMemoryStore("a"), createMemoryStore("b")];
  commit(a, put("web"));
  commit(a, put("db"));
  assert.deepEqual(a.vector, { a: 2 });
  const [first, second] = everythingOf(a);
  b.merge([second!]);
  assert.deepEqual(b.vector, {}, "the first is missing");
  b.merge([first!]);
  assert.deepEqual(b.vector, { a: 1 }, "the second may be more than what has come");
  b.merge(a.behind(b.vector, null, 1e6).portions, a.vector);
  assert.deepEqual(b.vector, { a: 2 });
  commit(a, put("db", "new"));
  const lacking = a.behind(b.vector, null, 1e6).portions;
  assert.deepEqual(
    lacking.map(({ seal }) => seal.clock),
    [3],
  );
  b.merge(lacking, { a: 1e9, c: 7 });
  assert.deepEqual(b.vector, { a: 3 }, "nobody is believed to know more than was ever seen");
  assert.equal(a.root, b.root);
});

test("sums differ where what is held differs", () => {
  const [a, b] = [createMemoryStore("a"), createMemoryStore("b")];
  commit(a, put("web"), put("db"), put("tenant"));
  const { portions } = a.behind({}, null, 1e6);
  b.merge(portions.map(({ seal, texts }) => ({ seal, texts: texts.slice(1) })));
  const [ours, theirs] = [a.sums(), b.sums()];
  const buckets = new Set<number>();
  for (const [i, byte] of ours.entries()) if (byte !== theirs[i]) buckets.add(Math.floor(i / 16));
  assert.equal(buckets.size, 1);
  const page = a.inBuckets(buckets, null, 1e6);
  assert.deepEqual(page.portions[0]!.texts, [portions[0]!.texts[0]]);
  b.merge(page.portions);
  assert.equal(a.root, b.root);
});

test("pages give everything once, each with whole seals", () => {
  const store = createMemoryStore("a");
  for (let i = 0; i < 30; i++) commit(store, put(`s${i}`, "x".repeat(100)), put(`t${i}`));
  const seen: string[] = [];
  let pages = 0;
  for (let after = null, isLast = false; !isLast; pages++) {
    const page = store.behind({}, after, 2000);
    for (const { texts } of page.portions) seen.push(...texts);
    isLast = page.next === null;
    after = page.next as never;
  }
  assert.ok(pages > 4, `${pages} pages`);
  assert.equal(seen.length, 60);
  assert.equal(new Set(seen).size, 60);
});

const DAY_MS = 86_400_000;

test("what was deleted is forgotten when a day is over and all know, by all the same", () => {
  let wallMs = Date.UTC(2030, 0, 1);
  const wallClock = () => wallMs;
  const [a, b] = ["a", "b"].map((name) => createMemoryStore(name, { wallClock }));
  commit(a!, put("web"), put("db"));
  const before = everythingOf(a!);
  commit(a!, remove("web"));
  b!.merge(everythingOf(a!), a!.vector);
  wallMs += DAY_MS / 2;
  assert.equal(a!.expire(true), 0);
  commit(a!, put("db", "still here"));
  b!.merge(a!.behind(b!.vector, null, 1e6).portions, a!.vector);
  wallMs += DAY_MS / 2 + 3_700_000;
  assert.equal(a!.expire(false), 0, "somebody may not know of it");
  assert.deepEqual([a!.expire(true), b!.expire(true)], [1, 1]);
  assert.equal(a!.root, b!.root);
  assert.equal(a!.entries().length, 1);
  wallMs += 2 * DAY_MS;
  assert.equal(a!.expire(true), 0, "a document does not grow old");
  assert.deepEqual(a!.merge(before), { news: 1, refused: [] }, "who was away brings it back");
  commit(a!, remove("web"));
  commit(a!, put("db", "the newest write of all is kept"));
  b!.merge(everythingOf(a!), a!.vector);
  const again = everythingOf(b!);
  wallMs += 31 * DAY_MS;
  assert.equal(a!.expire(false), 1);
  assert.deepEqual(a!.merge(again), { news: 0, refused: [] }, "not learned anew");
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
  store.merge(peerPut({ clock: 9, origin: "b" }, { kind: "switch", name: "db" }));
  store.merge(everythingOf(store));
  stop();
  commit(store, put("tenant"));
  assert.deepEqual(heard, ["local web 2", "local db 2", "peer db 9"]);
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
    const stores = ["a", "b", "c"].map((name) => createMemoryStore(name));
    for (const s of steps) {
      if (s.do === "change") stores[s.at]!.transact(s.changes, "user");
      else stores[s.to]!.merge(everythingOf(stores[s.from]!));
    }
    for (const to of stores) for (const from of stores) to.merge(everythingOf(from));
    for (const to of stores) for (const from of stores) to.merge(everythingOf(from));
    const [first, ...others] = stores;
    for (const other of others) {
      assert.deepEqual(other.entries(), first!.entries());
      assert.deepEqual(other.snapshot(), first!.snapshot());
    }
  };
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), run), { numRuns: 300 });
});

test("where something before it is missing there is a gap, until it is there", () => {
  const [a, b] = [createMemoryStore("a"), createMemoryStore("b")];
  const said: Parameters<Store["merge"]>[0][] = [];
  a.onChange((_entries, _source, portions) => void said.push(portions));
  for (const name of ["one", "two"]) {
    assert.ok(a.transact([{ op: "put", document: { kind: "switch", name } }], "user").ok);
  }
  assert.deepEqual([a.hasGap, b.hasGap], [false, false]);
  b.merge(said[1]!);
  assert.deepEqual([b.hasGap, b.clockOf("a")], [true, 0]);
  b.merge(said[0]!, a.vector);
  assert.deepEqual([b.hasGap, b.clockOf("a")], [false, a.revision]);
});
