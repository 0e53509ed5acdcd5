import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePorts } from "./acl.ts";
import { parseDocument } from "./document.ts";
import { createMemoryStore } from "./memory-store.ts";
import { put as peerPut } from "./peer-fixture.ts";
import { complete } from "./schema.ts";
import type { Change, Store } from "./store.ts";

const web = { kind: "switch", name: "web" } as const;
const db = { kind: "switch", name: "db" } as const;
const vm1 = { kind: "port", name: "vm1", switch: "web", addresses: ["10.0.1.10"] } as const;
const rule = {
  kind: "acl",
  name: "rule",
  switch: "web",
  direction: "to-port",
  priority: 100,
  match: {},
  action: "drop",
} as const;

function put(document: unknown): Change {
  return { op: "put", document };
}

function remove(kind: "switch" | "port" | "acl", name: string): Change {
  return { op: "delete", kind, name };
}

function storeWith(...documents: unknown[]): Store {
  const store = createMemoryStore("a");
  const done = store.transact(documents.map(put), "user");
  assert.ok(done.ok, done.ok ? "" : done.error.message);
  return store;
}

/** The problems as "pointer: expected: got" of changes that must be refused. */
function refused(store: Store, ...changes: Change[]): string[] {
  const done = store.transact(changes, "user");
  assert.ok(!done.ok, "the change was taken");
  return done.error.problems.map(({ pointer, expected, got }) => `${pointer}: ${expected}: ${got}`);
}

function completed(document: object): unknown {
  const parsed = parseDocument({ ...rule, ...document });
  assert.ok(parsed.ok, parsed.ok ? "" : parsed.error.message);
  const value = complete(parsed.value);
  assert.deepEqual(complete(value as never), value, "completing twice changes nothing");
  return value;
}

test("a rule is kept in canonical texts and one order of keys", () => {
  const match = {
    ...{ destinationPorts: "80-80", sourcePorts: 1024, protocol: 6 },
    ...{ destination: "::FFFF:10.0.0.0/104", source: "10.1.0.0/16" },
  };
  const value = completed({ description: "d", action: "allow", port: "vm1", match });
  assert.equal(
    JSON.stringify(value),
    '{"kind":"acl","name":"rule","switch":"web","port":"vm1","direction":"to-port",' +
      '"priority":100,"match":{"protocol":"tcp","source":"10.1.0.0/16",' +
      '"destination":"10.0.0.0/8","sourcePorts":"1024","destinationPorts":"80"},' +
      '"action":"allow","description":"d"}',
  );
});

test("a protocol without a name keeps its number", () => {
  assert.deepEqual(completed({ match: { protocol: 132 } }), { ...rule, match: { protocol: 132 } });
});

const PARSED = [
  ["443", { first: 443, last: 443 }],
  ["1-65535", { first: 1, last: 65535 }],
  ...["0", "65536", "9-8", "80-", "-80", "080", "80,81", "http", ""].map((text) => [text, null]),
] as const;

for (const [text, range] of PARSED) {
  test(`"${text}" is ${range === null ? "no ports" : "ports"}`, () => {
    assert.deepEqual(parsePorts(text as string), range);
  });
}

const PORTS = "a port such as 443 or a range such as 8000-8100, from 1 to 65535";
const WRONG: readonly (readonly [string, object, ...string[]])[] = [
  [
    "a word that no protocol has",
    { match: { protocol: "sctp" } },
    '/0/match/protocol: one of icmp, tcp, udp, icmpv6 or a number from 0 to 255: "sctp"',
  ],
  ["a protocol above 255", { match: { protocol: 256 } }, "/0/match/protocol: at most 255: 256"],
  [
    "ports that are none",
    { match: { protocol: "tcp", destinationPorts: "9-8", sourcePorts: 0 } },
    "/0/match/sourcePorts: at least 1: 0",
    `/0/match/destinationPorts: ${PORTS}: "9-8"`,
  ],
  [
    "ports without TCP or UDP",
    { match: { protocol: "icmp", destinationPorts: "80" } },
    '/0/match/destinationPorts: ports only beside protocol tcp or udp: "80"',
  ],
  [
    "networks of two families",
    { match: { source: "10.0.0.0/8", destination: "fd00::/8" } },
    '/0/match/destination: a network of the family of 10.0.0.0/8: "fd00::/8"',
  ],
  [
    "an address that is no network's",
    { match: { source: "10.0.0.1/8" } },
    '/0/match/source: a network whose bits behind the prefix are zero: "10.0.0.1/8"',
  ],
  [
    "the other family's ICMP",
    { match: { protocol: "icmpv6", source: "10.0.0.0/8" } },
    `/0/match/protocol: the ICMP of 10.0.0.0/8's family: "icmpv6"`,
  ],
  [
    "an answer to a group",
    { action: "reject", match: { destination: "ff02::1/128" } },
    '/0/action: drop: what went to a group is never answered: "reject"',
  ],
  [
    "a priority out of range",
    { priority: 32768, direction: "both", action: "deny", match: { etherType: 1 } },
    '/0/direction: one of from-port, to-port: "both"',
    "/0/priority: a whole number from 0 to 32767: 32768",
    "/0/match/etherType: one of the fields protocol, source, destination, sourceLabels, " +
      "destinationLabels, sourcePorts, destinationPorts: 1",
    '/0/action: one of allow, allow-stateless, drop, reject: "deny"',
  ],
  ["no match at all", { match: undefined }, "/0/match: an object: nothing"],
];

for (const [title, changes, ...problems] of WRONG) {
  test(`refuses ${title}`, () => {
    const document = JSON.parse(JSON.stringify({ ...rule, ...changes }));
    assert.deepEqual(refused(storeWith(web), put(document)), problems);
  });
}

test("a rule's switch and port exist, and the port is one of the switch", () => {
  const store = storeWith(web, db, vm1);
  assert.deepEqual(
    refused(
      store,
      put({ ...rule, switch: "nope" }),
      put({ ...rule, name: "b", port: "vm9" }),
      put({ ...rule, name: "c", switch: "db", port: "vm1" }),
    ),
    [
      '/0/switch: the name of a switch that exists: "nope"',
      '/1/port: the name of a port of switch web: "vm9"',
      '/2/port: the name of a port of switch db: "vm1"',
    ],
  );
  assert.ok(store.transact([put({ ...rule, port: "vm1" })], "user").ok);
});

test("a switch and a port with rules on them are not deleted, nor does the port move", () => {
  const onPort = { ...rule, name: "on-port", port: "vm1" };
  const store = storeWith(web, db, vm1, rule, onPort);
  assert.deepEqual(refused(store, remove("switch", "web"), remove("port", "vm1")), [
    '/0: nothing left in switch web: "acl on-port, acl rule"',
    '/1: no rule left on port vm1 of switch web: "acl on-port"',
  ]);
  assert.deepEqual(refused(store, put({ ...vm1, switch: "db" })), [
    '/0/switch: no rule left on port vm1 of switch web: "acl on-port"',
  ]);
});

test("a port moves together with its rules, and everything goes in one change", () => {
  const onPort = { ...rule, port: "vm1" };
  const store = storeWith(web, db, vm1, onPort);
  const moved = [put({ ...vm1, switch: "db" }), put({ ...onPort, switch: "db" })];
  assert.ok(store.transact(moved, "user").ok);
  assert.ok(store.transact([remove("switch", "web")], "user").ok);
  const all = [remove("switch", "db"), remove("port", "vm1"), remove("acl", "rule")];
  assert.ok(store.transact(all, "user").ok);
  assert.deepEqual(store.snapshot().acls, []);
});

test("a rule that a peer left without its port does not block the port's own changes", () => {
  const store = storeWith(web, db, { ...vm1, switch: "db" });
  const version = { clock: 9, origin: "b" };
  const value = { ...rule, port: "vm1" } as const;
  store.merge(peerPut(version, value));
  assert.equal(store.snapshot().acls.length, 1);
  assert.ok(store.transact([remove("port", "vm1")], "user").ok);
});

test("a rule asks for labels, at least one, in the order of their keys", () => {
  const value = completed({
    match: { sourceLabels: { b: "2", a: "1" }, destinationLabels: { c: "" } },
  });
  const { match } = value as { match: object };
  assert.equal(
    JSON.stringify(match),
    '{"sourceLabels":{"a":"1","b":"2"},"destinationLabels":{"c":""}}',
  );
  const store = storeWith(web);
  for (const [labels, expected] of [
    [{}, "/0/match/sourceLabels: at least one label"],
    [{ "a b": "1" }, "/0/match/sourceLabels: keys of 1 to 63"],
    [{ a: "-" }, "/0/match/sourceLabels/a: nothing, or 1 to 63"],
  ] as const) {
    const problems = refused(store, put({ ...rule, match: { sourceLabels: labels } }));
    assert.ok(problems[0]?.startsWith(expected), problems.join());
  }
});
