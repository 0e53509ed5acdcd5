import assert from "node:assert/strict";
import { test } from "node:test";
import { bindingName } from "@rhone/state/claim";
import { createMemoryStore } from "@rhone/state/memory-store";
import { put as peerPut } from "@rhone/state/peer-fixture";
import type { State } from "@rhone/state/state";
import { ACTION_ALLOW, ACTION_DROP, ACTION_REJECT, FROM_PORT, TO_PORT } from "@rhone/tables/acls";
import { Tables } from "@rhone/tables/generation";
import { KIND_ROUTER, LOCATED_HERE, LOCATED_NOWHERE } from "@rhone/tables/ports";
import { parseAddress } from "@rhone/wire/address";
import { compile, type Self } from "./compile.ts";
import { StampKeys } from "./stamp-keys.ts";

const DOCUMENTS = [
  { kind: "switch", name: "web" },
  { kind: "switch", name: "db" },
  {
    kind: "router",
    name: "router1",
    ports: [
      { name: "r-web", switch: "web", addresses: ["10.0.1.1/24", "fd00:0:0:1::1/64"] },
      { name: "r-db", switch: "db", addresses: ["10.0.2.1/24"] },
    ],
    routes: [{ prefix: "10.9.0.0/16", nextHop: "10.0.2.10" }],
  },
  {
    kind: "port",
    name: "vm1",
    switch: "web",
    addresses: ["10.0.1.10"],
    chassis: "a",
    device: "t1",
  },
  { kind: "port", name: "vm4", switch: "db", addresses: ["10.0.2.10"], chassis: "c", device: "t4" },
  { kind: "port", name: "vm6", switch: "web", addresses: ["10.0.1.16"] },
];

function makeState(): State {
  const store = createMemoryStore("a");
  const chassis = ["a", "c"].map((name, i) => {
    const underlay = `192.168.100.${i + 1}`;
    return { kind: "chassis", name, underlay, workers: 2, version: "0.1.0" };
  });
  const name = bindingName("vm4", "c");
  const binding = { kind: "binding", name, port: "vm4", chassis: "c", epoch: 1, up: true };
  for (const [documents, author] of [
    [DOCUMENTS, "user"],
    [[...chassis, binding], "chassis"],
  ] as const) {
    const changes = documents.map((document) => ({ op: "put" as const, document }));
    const result = store.transact(changes, author);
    assert.ok(result.ok, JSON.stringify(result));
  }
  return store.snapshot();
}

const self: Self = {
  name: "a",
  tunnelMtu: 1418,
  keys: null,
  devices: new Map([["vm1", { index: 3 }]]),
  workers: [0, 1],
  ruleCounters: new Map(),
};

function find(tables: Tables, datapath: number, text: string): number {
  return tables.neighbours.find(Int32Array.from([datapath, ...parseAddress(text)!]));
}

test("the same state gives the same bytes", () => {
  const state = makeState();
  assert.deepEqual(compile(state, self), compile(state, self));
  assert.equal(new Tables(compile(state, self)).generation, state.revision);
});

test("ports are here, at another chassis, or nowhere", () => {
  const tables = new Tables(compile(makeState(), self));
  const { ports } = tables;
  const web = tables.ports.datapath(tables.portByDevice.find(Int32Array.of(3)));
  const vm1 = find(tables, web, "10.0.1.10");
  assert.equal(ports.location(vm1), LOCATED_HERE);
  assert.equal(ports.device(vm1), 3);
  assert.equal(ports.location(find(tables, web, "10.0.1.16")), LOCATED_NOWHERE);
  const db = 1 - web;
  const vm4 = find(tables, db, "10.0.2.10");
  assert.ok(ports.isUp(vm4) && !ports.isUp(vm1));
  const address = new Int32Array(4);
  tables.endpoints.copyAddress(ports.location(vm4), address, 0);
  assert.deepEqual([...address], [...parseAddress("192.168.100.2")!]);
});

test("routes lead through the router's ports to their next hops", () => {
  const tables = new Tables(compile(makeState(), self));
  const web = tables.ports.datapath(tables.portByDevice.find(Int32Array.of(3)));
  const routerPort = find(tables, web, "10.0.1.1");
  assert.equal(tables.ports.kind(routerPort), KIND_ROUTER);
  const router = tables.ports.router(routerPort);
  const target = Int32Array.from(parseAddress("10.9.1.2")!);
  const route = tables.routes.find(router, target);
  tables.routes.applyNextHop(route, target);
  assert.deepEqual([...target], [...parseAddress("10.0.2.10")!]);
  assert.equal(tables.ports.datapath(tables.routes.outPort(route)), 1 - web);
  const stranger = Int32Array.from(parseAddress("10.10.0.1")!);
  assert.equal(tables.routes.find(router, stranger), -1);
});

test("rules stand in the order in which they decide, those that a peer left alone are out", () => {
  const store = createMemoryStore("a");
  const rules = [
    { name: "b", priority: 5, match: { protocol: "tcp", destinationPorts: "80-81" } },
    { name: "a", priority: 5, match: { source: "10.0.0.0/8" }, action: "reject" },
    { name: "c", priority: 9, match: {}, port: "vm1", direction: "to-port", action: "allow" },
  ].map((document) => ({
    ...{ kind: "acl", switch: "web", direction: "from-port", action: "drop" },
    ...document,
  }));
  const result = store.transact(
    [...DOCUMENTS, ...rules].map((document) => ({ op: "put", document })),
    "user",
  );
  assert.ok(result.ok, JSON.stringify(result));
  const version = { clock: 99, origin: "b" };
  const [peers] = store.entries().filter(({ kind }) => kind === "acl");
  const value = { ...peers!.value!, name: "orphan", switch: "gone", priority: 32767 };
  store.merge(peerPut(version, value));
  const ruleCounters = new Map([["b", 4]]);
  const tables = new Tables(compile(store.snapshot(), { ...self, ruleCounters }));
  const { acls } = tables;
  const vm1 = tables.portByDevice.find(Int32Array.of(3));
  const web = tables.ports.datapath(vm1);
  const source = parseAddress("10.0.1.10")!;
  const [port80, port82] = [80, 82].map((port) => Int32Array.from([...source, ...source, 6, port]));
  assert.equal(acls.find(TO_PORT, web, vm1, port80!), 0);
  assert.equal(acls.action(0), ACTION_ALLOW);
  assert.equal(acls.find(FROM_PORT, web, vm1, port82!), 1);
  assert.deepEqual([acls.action(1), acls.counter(1)], [ACTION_REJECT, -1]);
  const other = Int32Array.from([...parseAddress("11.0.0.1")!, ...source, 6, 80]);
  assert.equal(acls.find(FROM_PORT, web, vm1, other), 2);
  assert.deepEqual([acls.action(2), acls.counter(2)], [ACTION_DROP, 4]);
  const vm4 = find(tables, 1 - web, "10.0.2.10");
  assert.equal(acls.find(TO_PORT, 1 - web, vm4, port80!), -1);
});

test("two chassis number networks and ports alike", () => {
  const state = makeState();
  const other: Self = { ...self, name: "c", devices: new Map() };
  const [a, c] = [new Tables(compile(state, self)), new Tables(compile(state, other))];
  for (let row = 0; row < a.ports.count; row++) {
    assert.equal(a.ports.key(row), c.ports.key(row));
    const [mine, theirs] = [a.ports.datapath(row), c.ports.datapath(row)];
    assert.equal(a.datapaths.key(mine), c.datapaths.key(theirs));
  }
  assert.notEqual(a.shortId, c.shortId);
});

test("what one chassis tags, the other can check; without a cluster key there are no tags", () => {
  const state = makeState();
  const made = new StampKeys(new Uint8Array(32).fill(1));
  const tablesOf = (name: string, epoch: number): Tables => {
    const keys = { made, epoch };
    return new Tables(compile(state, { ...self, name, keys }));
  };
  const [a, c] = [tablesOf("a", 5), tablesOf("c", 6)];
  const rowOf = (tables: Tables, name: string): number => {
    const { underlay } = state.chassis.find((chassis) => chassis.name === name)!.value;
    return tables.endpointByAddress.find(Int32Array.from(parseAddress(underlay)!));
  };
  const words = [0, 1, 2, 3];
  const sent = words.map((word) => a.endpoints.sendKey(rowOf(a, "c"), word));
  // The other's clock is an hour ahead: its second key is the one of the hour before.
  const received = words.map((word) => c.endpoints.receiveKey(rowOf(c, "a"), 1, word));
  assert.deepEqual(received, sent);
  const untagged = new Tables(compile(state, self));
  assert.equal(untagged.endpoints.hasKeys(rowOf(untagged, "c")), false);
});
