import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryStore } from "./memory-store.ts";
import { put as peerPut } from "./peer-fixture.ts";
import type { Change, Store } from "./store.ts";

const web = { kind: "switch", name: "web" } as const;
const db = { kind: "switch", name: "db" } as const;
const router = {
  kind: "router",
  name: "r",
  ports: [
    { name: "to-web", switch: "web", addresses: ["10.0.1.1/24", "fd00:1::1/64"] },
    { name: "to-db", switch: "db", addresses: ["10.0.2.1/24"] },
  ],
} as const;
const vm1 = { kind: "port", name: "vm1", switch: "web", addresses: ["10.0.1.10"] } as const;

function put(document: unknown): Change {
  return { op: "put", document };
}

function remove(kind: "switch" | "router" | "port", name: string): Change {
  return { op: "delete", kind, name };
}

function storeWith(...documents: unknown[]): Store {
  const store = createMemoryStore("a");
  const done = store.transact(documents.map(put), "chassis");
  assert.ok(done.ok, done.ok ? "" : done.error.message);
  return store;
}

/** The code and the problems as "pointer: got", of changes that must be refused. */
function refused(store: Store, ...changes: Change[]): { code: string; problems: string[] } {
  const before = store.entries();
  const done = store.transact(changes, "user");
  assert.ok(!done.ok, "the change was taken");
  assert.deepEqual(store.entries(), before);
  const { code, problems } = done.error;
  return { code, problems: problems.map(({ pointer, got }) => `${pointer}: ${got}`) };
}

test("a switch must exist before something is plugged into it", () => {
  assert.deepEqual(refused(storeWith(web), put({ ...vm1, switch: "nope" }), put(router)), {
    code: "conflict",
    problems: ['/0/switch: "nope"', '/1/ports/1/switch: "db"'],
  });
});

test("a switch and its ports come and go in one change", () => {
  const store = createMemoryStore("a");
  assert.ok(store.transact([put(vm1), put(web)], "user").ok);
  assert.ok(store.transact([remove("switch", "web"), remove("port", "vm1")], "user").ok);
  assert.deepEqual(store.snapshot().switches, []);
});

test("a switch may say how fresh knowledge has to be, within limits", () => {
  const store = storeWith({ ...web, maxStaleSeconds: 30 });
  assert.deepEqual(store.snapshot().switches[0]!.value, { ...web, maxStaleSeconds: 30 });
  for (const maxStaleSeconds of [0, 4, 86_401, 7.5]) {
    const { code, problems } = refused(store, put({ ...web, maxStaleSeconds }));
    assert.deepEqual([code, problems], ["invalid", [`/0/maxStaleSeconds: ${maxStaleSeconds}`]]);
  }
});

test("a switch in use is not deleted", () => {
  const store = storeWith(web, db, router, vm1);
  assert.deepEqual(refused(store, remove("switch", "web")), {
    code: "conflict",
    problems: ['/0: "port vm1, port to-web of router r"'],
  });
});

test("names, MAC and IP addresses are unique within a switch, router ports included", () => {
  const store = storeWith(web, db, router, { ...vm1, mac: "02:00:00:00:00:01" });
  const twin = { ...vm1, name: "to-web", mac: "02:00:00:00:00:01", addresses: ["10.0.1.1"] };
  assert.deepEqual(refused(store, put(twin), put({ ...vm1, name: "vm2" })), {
    code: "conflict",
    problems: [
      '/0/name: "to-web"',
      '/0/mac: "02:00:00:00:00:01"',
      '/0/addresses/0: "10.0.1.1"',
      '/1/addresses/0: "10.0.1.10"',
    ],
  });
  // Another switch is another world.
  const elsewhere = { ...twin, switch: "tenant" };
  assert.ok(store.transact([put({ kind: "switch", name: "tenant" }), put(elsewhere)], "user").ok);
});

test("an address given twice to one port is refused", () => {
  const twice = { ...vm1, addresses: ["10.0.1.10", "10.0.1.10"] };
  assert.deepEqual(refused(storeWith(web), put(twice)).problems, ['/0/addresses/1: "10.0.1.10"']);
});

test("a device serves one port", () => {
  const store = storeWith(web, { ...vm1, chassis: "a", device: "tap0" });
  const other = { ...vm1, name: "vm2", addresses: ["10.0.1.11"], device: "tap0" };
  assert.deepEqual(refused(store, put({ ...other, chassis: "a" })).problems, [
    '/0/device: "tap0 of chassis a"',
  ]);
  assert.ok(store.transact([put({ ...other, chassis: "b" })], "user").ok);
});

test("beside a router, a port's addresses lie in the router's networks", () => {
  const store = storeWith(web, db, router);
  const addresses = ["10.0.1.10", "10.0.9.1", "fd00:1::2", "fd00:9::1", "10.0.1.255", "fe80::1"];
  assert.deepEqual(refused(store, put({ ...vm1, addresses })).problems, [
    '/0/addresses/1: "10.0.9.1"',
    '/0/addresses/3: "fd00:9::1"',
    '/0/addresses/4: "10.0.1.255"',
  ]);
});

test("a switch without a router takes any address", () => {
  assert.ok(storeWith(web, { ...vm1, addresses: ["203.0.113.7", "2001:db8::7"] }));
});

test("a router may not leave a port outside of its networks", () => {
  const store = storeWith(web, db, { ...vm1, addresses: ["10.0.9.1"] });
  const { code, problems } = refused(store, put(router));
  assert.equal(code, "conflict");
  assert.deepEqual(problems, ['/0/ports: "10.0.1.1/24, fd00:1::1/64"']);
});

test("what peers' merges left contradictory does not block other changes", () => {
  const store = storeWith(web, vm1);
  const version = { clock: 9, origin: "b" };
  const twin = { ...vm1, name: "vm2", addresses: [...vm1.addresses] };
  assert.equal(store.merge(peerPut(version, twin)).news, 1);
  assert.ok(store.transact([put({ ...vm1, name: "vm3", addresses: ["10.0.1.12"] })], "user").ok);
  assert.deepEqual(refused(store, put({ ...vm1, portSecurity: false })).code, "conflict");
  assert.ok(store.transact([put({ ...vm1, addresses: ["10.0.1.13"] })], "user").ok);
});

test("addresses that no host can have are refused", () => {
  const addresses = ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "255.255.255.255"];
  const addresses6 = ["::", "::1", "ff02::1", "::ffff:127.0.0.1"];
  const all = [...addresses, ...addresses6];
  const { code, problems } = refused(storeWith(web), put({ ...vm1, addresses: all }));
  assert.equal(code, "invalid");
  assert.equal(problems.length, all.length);
});

test("what is wrong within a router is named", () => {
  const store = storeWith(web, db);
  const ports = [
    { name: "x", switch: "web", addresses: ["10.0.1.0/24", "10.0.3.255/24", "ff02::1/64"] },
    { name: "x", switch: "db", addresses: ["10.0.0.1/16", "10.4.0.1/31"] },
  ];
  const routes = [
    { prefix: "10.9.0.1/16", nextHop: "10.0.1.2" },
    { prefix: "10.9.0.0/16", nextHop: "fd00::1" },
    { prefix: "10.9.0.0/16", nextHop: "10.0.0.1" },
    { prefix: "0.0.0.0/0", nextHop: "192.0.2.1" },
  ];
  assert.deepEqual(refused(store, put({ ...router, ports, routes })), {
    code: "invalid",
    problems: [
      '/0/ports/1/name: "x"',
      '/0/ports/0/addresses/0: "10.0.1.0/24"',
      '/0/ports/0/addresses/1: "10.0.3.255/24"',
      '/0/ports/0/addresses/2: "ff02::1/64"',
      '/0/ports/1/addresses/0: "10.0.0.1/16"',
      '/0/routes/0/prefix: "10.9.0.1/16"',
      '/0/routes/1/nextHop: "fd00::1"',
      '/0/routes/2/prefix: "10.9.0.0/16"',
      '/0/routes/2/nextHop: "10.0.0.1"',
      '/0/routes/3/nextHop: "192.0.2.1"',
    ],
  });
});

test("a router with routes to its neighbours is taken", () => {
  const routes = [
    { prefix: "0.0.0.0/0", nextHop: "10.0.1.254" },
    { prefix: "::/0", nextHop: "fd00:1::fe" },
  ];
  assert.ok(storeWith(web, db, { ...router, routes }));
});
