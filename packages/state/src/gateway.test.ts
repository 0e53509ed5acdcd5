import assert from "node:assert/strict";
import { test } from "node:test";
import { warningOf } from "./gateway.ts";
import { createMemoryStore } from "./memory-store.ts";
import type { Change, Store } from "./store.ts";

const chassis = ["a", "b", "c"].map((name, i) => {
  return { kind: "chassis", name, underlay: `192.168.0.${i + 1}`, workers: 1, version: "1" };
});
const web = { kind: "switch", name: "web" };
const g = { kind: "gateway", name: "g", members: [{ chassis: "a" }, { chassis: "b" }] };
const port = { kind: "port", name: "up", switch: "web", addresses: [], device: "u", gateway: "g" };

function put(document: unknown): Change {
  return { op: "put", document };
}

function storeWith(...documents: unknown[]): Store {
  const store = createMemoryStore("a");
  const done = store.transact([...chassis, web, ...documents].map(put), "chassis");
  assert.ok(done.ok, done.ok ? "" : JSON.stringify(done.error));
  return store;
}

/** The problems as "pointer: expected". */
function refused(store: Store, ...changes: Change[]): string[] {
  const done = store.transact(changes, "user");
  assert.ok(!done.ok, "the change was taken");
  return done.error.problems.map(({ pointer, expected }) => `${pointer}: ${expected}`);
}

test("a gateway has priorities and witnesses filled in, and a port names it", () => {
  const store = storeWith({ ...g, witnesses: ["c"] }, port);
  const [gateway] = store.snapshot().gateways;
  assert.deepEqual(gateway!.value, {
    ...{ kind: "gateway", name: "g", witnesses: ["c"] },
    members: [
      { chassis: "a", priority: 0 },
      { chassis: "b", priority: 0 },
    ],
  });
  assert.equal(store.snapshot().ports[0]!.value.gateway, "g");
});

test("members that are none, twice the same, or unknown are refused", () => {
  const store = storeWith();
  assert.deepEqual(refused(store, put({ ...g, members: [] })), ["/0/members: at least 1 item"]);
  const twice = { ...g, members: [{ chassis: "a" }, { chassis: "a" }], witnesses: ["b", "a"] };
  const once = "each chassis once, as a member or as a witness";
  assert.deepEqual(refused(store, put(twice)), [
    `/0/members/1/chassis: ${once}`,
    `/0/witnesses/1: ${once}`,
  ]);
  const strange = { ...g, members: [{ chassis: "a" }, { chassis: "x" }], witnesses: ["y"] };
  const known = "the name of a chassis that is known";
  assert.deepEqual(refused(store, put(strange)), [
    `/0/members/1/chassis: ${known}`,
    `/0/witnesses/0: ${known}`,
  ]);
  const high = { ...g, members: [{ chassis: "a", priority: 32_768 }] };
  assert.deepEqual(refused(store, put(high)), [
    "/0/members/0/priority: a whole number from 0 to 32767",
  ]);
});

test("a member that is gone from the cluster does not keep others from being drained", () => {
  const store = storeWith(g);
  const gone: Change = { op: "delete", kind: "chassis", name: "b" };
  assert.ok(store.transact([gone], "chassis").ok);
  const members = [{ chassis: "a", drained: true }, { chassis: "b" }];
  assert.ok(store.transact([put({ ...g, members })], "user").ok);
});

test("a port names a chassis or a gateway that exists, and its device", () => {
  const store = storeWith(g);
  assert.deepEqual(refused(store, put({ ...port, gateway: "h" })), [
    "/0/gateway: the name of a gateway that exists",
  ]);
  assert.deepEqual(refused(store, put({ ...port, chassis: "a" })), [
    "/0/gateway: a chassis or a gateway, not both",
  ]);
  const { device: _, ...bare } = port;
  assert.deepEqual(refused(store, put(bare)), [
    "/0/device: the device that the port has at every member of its gateway",
  ]);
});

test("a gateway that a port names stays until the port goes", () => {
  const store = storeWith(g, port);
  const gone: Change = { op: "delete", kind: "gateway", name: "g" };
  assert.deepEqual(refused(store, gone), ["/0: no port left that names gateway g"]);
  assert.ok(store.transact([gone, { op: "delete", kind: "port", name: "up" }], "user").ok);
  assert.deepEqual(store.snapshot().gateways, []);
});

test("two ports of one gateway do not share a device", () => {
  const store = storeWith(g, port);
  assert.deepEqual(refused(store, put({ ...port, name: "up2" })), [
    "/0/device: a device that port up does not have",
  ]);
});

test("two members without a witness are warned of, three are not", () => {
  const store = storeWith(g, { ...g, name: "h", witnesses: ["c"] });
  const [two, three] = store.snapshot().gateways;
  assert.match(warningOf(two!.value) ?? "", /^two members without a witness/);
  assert.equal(warningOf(three!.value), undefined);
});
