import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { State } from "@rhone/state/state";
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
  const binding = { kind: "binding", name: "vm4", chassis: "c", up: true };
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
  devices: new Map([["vm1", { index: 3, worker: 1 }]]),
};

function find(tables: Tables, datapath: number, text: string): number {
  return tables.neighbours.find(Int32Array.from([datapath, ...parseAddress(text)!]));
}

test("the same state gives the same bytes", () => {
  const state = makeState();
  const first = new Uint8Array(compile(state, self));
  assert.deepEqual(first, new Uint8Array(compile(state, self)));
  assert.equal(new Tables(compile(state, self)).generation, state.revision);
});

test("ports are here, at another chassis, or nowhere", () => {
  const tables = new Tables(compile(makeState(), self));
  const { ports } = tables;
  const web = tables.ports.datapath(tables.portByDevice.find(Int32Array.of(3)));
  const vm1 = find(tables, web, "10.0.1.10");
  assert.equal(ports.location(vm1), LOCATED_HERE);
  assert.deepEqual([ports.device(vm1), ports.worker(vm1)], [3, 1]);
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

test("two chassis number networks and ports alike", () => {
  const state = makeState();
  const other: Self = { name: "c", tunnelMtu: 1418, keys: null, devices: new Map() };
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
    return new Tables(compile(state, { name, tunnelMtu: 1418, keys, devices: new Map() }));
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
