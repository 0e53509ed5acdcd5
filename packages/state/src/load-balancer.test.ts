import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDocument } from "./document.ts";
import { createMemoryStore } from "./memory-store.ts";
import { complete } from "./schema.ts";
import type { Change, Store } from "./store.ts";

const web = { kind: "switch", name: "web" } as const;
const vm1 = { kind: "port", name: "vm1", switch: "web", addresses: ["10.0.1.10"] } as const;
const balancer = {
  ...{ kind: "load-balancer", name: "lb", switches: ["web"] },
  vips: [{ address: "10.0.9.9", port: 80, backends: [{ address: "10.0.1.10", port: 8080 }] }],
} as const;

function put(document: unknown): Change {
  return { op: "put", document };
}

function storeWith(...documents: unknown[]): Store {
  const store = createMemoryStore("a");
  const done = store.transact(documents.map(put), "user");
  assert.ok(done.ok, done.ok ? "" : done.error.message);
  return store;
}

/** The problems as "pointer: expected: got" of a change that must be refused. */
function refused(store: Store, ...changes: Change[]): string[] {
  const done = store.transact(changes, "user");
  assert.ok(!done.ok, "the change was taken");
  return done.error.problems.map(({ pointer, expected, got }) => {
    return `${pointer}: ${expected}: ${got.replaceAll('"', "")}`;
  });
}

test("a load balancer is kept in canonical texts, with every default", () => {
  const vips = [
    { address: "::FFFF:10.0.9.9", port: 80, backends: [{ address: "::ffff:10.0.1.10" }] },
    { address: "FD00::9", backends: [{ address: "FD00::1" }] },
  ];
  const parsed = parseDocument({ ...balancer, vips });
  assert.ok(parsed.ok, parsed.ok ? "" : JSON.stringify(parsed.error));
  const value = complete(parsed.value);
  assert.deepEqual(complete(value as never), value, "completing twice changes nothing");
  assert.equal(
    JSON.stringify(value),
    '{"kind":"load-balancer","name":"lb","switches":["web"],"vips":[' +
      '{"address":"10.0.9.9","protocol":"tcp","port":80,"backends":[{"address":"10.0.1.10"}]},' +
      '{"address":"fd00::9","backends":[{"address":"fd00::1"}]}],"withoutBackends":"reject"}',
  );
});

test("what no packet could be balanced by is refused with what was expected", () => {
  const store = storeWith(web, vm1);
  const vip = balancer.vips[0];
  const cases: [object, string][] = [
    [{ switches: ["db"] }, "/0/switches/0: the name of a switch that exists: db"],
    [{ switches: ["web", "web"] }, "/0/switches/1: each switch once: web"],
    [{ vips: [] }, "/0/vips: at least 1 item: []"],
    [
      { vips: [{ ...vip, address: "224.0.0.1" }] },
      "/0/vips/0/address: a unicast address of a host, not a multicast one: 224.0.0.1",
    ],
    [
      { vips: [{ address: "10.0.9.9", protocol: "udp", backends: [] }] },
      "/0/vips/0/port: a port beside a protocol, or neither: nothing",
    ],
    [
      { vips: [vip, { ...vip, protocol: "tcp", backends: [] }] },
      "/0/vips/1: a service that vips/0 does not have: tcp 10.0.9.9:80",
    ],
    [
      { vips: [{ ...vip, backends: [{ address: "fd00::1" }] }] },
      "/0/vips/0/backends/0/address: an address of the family of 10.0.9.9: fd00::1",
    ],
    [
      { vips: [{ address: "10.0.9.9", backends: [{ address: "10.0.1.10", port: 1 }] }] },
      "/0/vips/0/backends/0/port: no port, as the VIP has none: 1",
    ],
    [
      { vips: [{ ...vip, backends: [{ address: "10.0.1.10" }, { address: "10.0.1.10" }] }] },
      "/0/vips/0/backends/1: each backend once: 10.0.1.10 80",
    ],
    [
      { vips: [{ ...vip, address: "10.0.1.10", backends: [] }] },
      "/0/vips/0/address: an IP address that port vm1 does not have: 10.0.1.10",
    ],
  ];
  for (const [changes, expected] of cases) {
    assert.deepEqual(refused(store, put({ ...balancer, ...changes })), [expected]);
  }
});

test("an address in a switch is one load balancer's, and no port's", () => {
  const store = storeWith(web, vm1, balancer);
  const other = { ...balancer, name: "other", vips: [{ ...balancer.vips[0], port: 81 }] };
  assert.deepEqual(refused(store, put(other)), [
    "/0/vips/0/address: an IP address that load-balancer lb does not have: 10.0.9.9",
  ]);
  const port = { ...vm1, name: "vm2", addresses: ["10.0.9.9"] };
  assert.deepEqual(refused(store, put(port)), [
    "/0/addresses/0: an IP address that load-balancer lb does not have: 10.0.9.9",
  ]);
});

test("a switch does not go while a load balancer serves it", () => {
  const store = storeWith(web, balancer);
  assert.deepEqual(refused(store, { op: "delete", kind: "switch", name: "web" }), [
    "/0: nothing left in switch web: load-balancer lb",
  ]);
  const changes: Change[] = [
    { op: "delete", kind: "switch", name: "web" },
    { op: "delete", kind: "load-balancer", name: "lb" },
  ];
  assert.ok(store.transact(changes, "user").ok);
});
