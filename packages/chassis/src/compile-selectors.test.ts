import assert from "node:assert/strict";
import { test } from "node:test";
import type { Labels } from "@rhone/state/labels";
import { complete, type Document, type PortDocument } from "@rhone/state/schema";
import { EMPTY_STATE, type State, withEntries } from "@rhone/state/state";
import type { AclAddresses } from "@rhone/tables/acls";
import { formatAddress } from "@rhone/wire/address";
import { type Compilation, compileAll, type Self } from "./compile.ts";
import { Selectors } from "./compile-selectors.ts";

const self: Self = {
  ...{ name: "a", tunnelMtu: 1418, keys: null, devices: new Map(), workers: [0] },
  ruleCounters: new Map(),
};
const web = { app: "web" };
const db = { app: "db" };
const anything = { prefix: undefined, needsAll: true };

function port(name: string, at: string, labels: Labels, ...addresses: string[]): PortDocument {
  return { kind: "port", name, switch: at, labels, addresses };
}

/** `left` and `right` are joined by two routers with a switch between them, `alone` is not. */
function stateWith(ports: readonly PortDocument[]): State {
  const router = (name: string, ...switches: string[]): Document => ({
    ...{ kind: "router", name, routes: [] },
    ports: switches.map((at, i) => ({
      ...{ name: `${name}-${at}`, switch: at },
      addresses: [`192.168.${i}.${name === "r1" ? 1 : 2}/16`],
    })),
  });
  const documents: Document[] = [
    ...["left", "middle", "right", "alone"].map((name) => ({ kind: "switch" as const, name })),
    ...[router("r1", "left", "middle"), router("r2", "middle", "right"), ...ports],
  ];
  // As after a merge: what contradicts other documents is there all the same.
  const entries = documents.map((document, i) => {
    const version = { clock: i + 1, origin: "a" };
    const { kind, name } = document;
    return { kind, name, created: version, version, value: complete(document) };
  });
  return withEntries(EMPTY_STATE, documents.length, entries);
}

function selectorsOf(state: State): { selectors: Selectors; row: (name: string) => number } {
  const { rows, ports }: Compilation = compileAll(state, self);
  const selectors = new Selectors(ports.rows, rows.datapaths.size);
  return { selectors, row: (name) => rows.datapaths.get(`switch/${name}`)! };
}

const texts = ({ addresses }: AclAddresses): string[] => addresses.map(formatAddress).sort();

test("a selector means ports wherever routers lead, and nobody beyond", () => {
  const { selectors, row } = selectorsOf(
    stateWith([
      port("l", "left", web, "192.168.0.10", "192.168.0.11"),
      port("d", "left", db, "192.168.0.12"),
      port("r", "right", { ...web, env: "x" }, "192.168.1.10"),
      port("a", "alone", web, "192.168.0.99"),
    ]),
  );
  const of = (at: string, selector: Record<string, string>): string[] =>
    texts(selectors.addressesOf(row(at), { ...anything, selector }));
  const both = ["192.168.0.10", "192.168.0.11", "192.168.1.10"];
  for (const at of ["left", "middle", "right"]) assert.deepEqual(of(at, web), both);
  assert.deepEqual(of("left", { ...web, env: "x" }), ["192.168.1.10"]);
  assert.deepEqual(of("alone", web), ["192.168.0.99"]);
  assert.deepEqual(of("alone", db), []);
  const narrow = { ...anything, selector: web, prefix: "192.168.0.0/24" };
  assert.deepEqual(texts(selectors.addressesOf(row("left"), narrow)), both.slice(0, 2));
  const again = selectors.addressesOf(row("left"), narrow);
  assert.equal(selectors.addressesOf(row("left"), narrow), again, "one list for many rules");
});

test("a link-local address is that of a port of the same switch only", () => {
  const mac = "02:00:00:00:00:05";
  const { selectors, row } = selectorsOf(
    stateWith([
      { ...port("l", "left", web, "fd00::1"), mac },
      { ...port("r", "right", db, "fd00::2"), mac },
    ]),
  );
  const of = (at: string, selector: Record<string, string>): string[] =>
    texts(selectors.addressesOf(row(at), { ...anything, selector }));
  assert.deepEqual(of("left", web), ["fd00::1", "fe80::ff:fe00:5"]);
  assert.deepEqual(of("right", web), ["fd00::1"]);
  assert.deepEqual(of("right", db), ["fd00::2", "fe80::ff:fe00:5"]);
});

test("who lets pass wants all holders of an address to have the labels, who stops only one", () => {
  const { selectors, row } = selectorsOf(
    stateWith([
      port("l", "left", web, "192.168.0.10"),
      port("r", "right", db, "192.168.0.10", "192.168.1.11"),
    ]),
  );
  const of = (selector: Record<string, string>, needsAll: boolean): string[] =>
    texts(selectors.addressesOf(row("left"), { selector, prefix: undefined, needsAll }));
  assert.deepEqual(of(web, true), []);
  assert.deepEqual(of(web, false), ["192.168.0.10"]);
  assert.deepEqual(of(db, true), ["192.168.1.11"]);
  assert.deepEqual(of(db, false), ["192.168.0.10", "192.168.1.11"]);
});
