import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDocument } from "./document.ts";
import { LABELS_MAX, selects } from "./labels.ts";
import { difference, documentOf, registersOf } from "./registers.ts";
import { complete } from "./schema.ts";

const port = { kind: "port", name: "p", switch: "s", mac: "02:00:00:00:00:01", addresses: [] };

function completed(labels: unknown): unknown {
  const parsed = parseDocument({ ...port, labels });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return (complete(parsed.value) as { labels?: unknown }).labels;
}

function refusal(labels: unknown): string {
  const parsed = parseDocument(typeof labels === "string" ? JSON.parse(labels) : labels);
  assert.equal(parsed.ok, false);
  return parsed.ok ? "" : parsed.error.problems.map((p) => `${p.pointer}: ${p.expected}`).join();
}

test("labels are kept in the order of their keys, and none are left out", () => {
  const labels = completed({ "z.example/app": "web", app: "", "A_1.b-c": "v1.2_3-x" });
  assert.equal(JSON.stringify(labels), '{"A_1.b-c":"v1.2_3-x","app":"","z.example/app":"web"}');
  assert.equal(completed({}), undefined);
  const long = { [`${"a".repeat(63)}.${"b".repeat(63)}/${"k".repeat(63)}`]: "v".repeat(63) };
  assert.deepEqual(completed(long), long);
});

test("what Kubernetes takes for no label is none here", () => {
  for (const key of ["", "-a", "a-", "a b", "ä", "k".repeat(64), "/a", "a/", "A/b", "a/b/c"]) {
    assert.match(refusal({ ...port, labels: { [key]: "v" } }), /^\/labels: keys of 1 to 63/, key);
  }
  for (const value of ["-", "a b", "v".repeat(64), 1, null, ["a"]]) {
    assert.match(refusal({ ...port, labels: { app: value } }), /^\/labels\/app: /);
  }
  assert.match(refusal({ ...port, labels: ["app"] }), /^\/labels: /);
  const many = Object.fromEntries(Array.from({ length: LABELS_MAX + 1 }, (_, i) => [`k${i}`, ""]));
  assert.match(refusal({ ...port, labels: many }), /at most 32 labels/);
});

test("nobody gives a port an identity that is reserved, and no rule asks for one", () => {
  const labels = { "reserved:world": "", app: "web" };
  const own = "/labels: labels without reserved: in front, which the router alone gives";
  assert.equal(refusal({ ...port, labels }), own);
  const rule = { kind: "acl", name: "r", switch: "s", direction: "to-port", priority: 1 };
  assert.match(
    refusal({ ...rule, match: { sourceLabels: labels }, action: "allow" }),
    /^\/match\/sourceLabels: labels of ports; what is reserved:… is told by source or dest/,
  );
});

test("labels that two change at the same time are both there", () => {
  const base = registersOf("port", { ...port, labels: { app: "web", "a/b~c": "1" } });
  const left = difference(
    base,
    registersOf("port", { ...port, labels: { app: "db", "a/b~c": "1" } }),
  );
  const right = difference(
    base,
    registersOf("port", { ...port, labels: { app: "web", env: "x" } }),
  );
  assert.deepEqual(left, { "labels/app": "db" });
  assert.deepEqual(right, { "labels/env": "x", "labels/a~1b~0c": null });
  const both = new Map([...base, ...Object.entries({ ...left, ...right })]);
  assert.deepEqual(documentOf("port", "p", both), { ...port, labels: { app: "db", env: "x" } });
});

test("a selector means ports that have all its labels", () => {
  const labels = { app: "web", env: "" };
  assert.equal(selects({ app: "web" }, labels), true);
  assert.equal(selects({ app: "web", env: "" }, labels), true);
  assert.equal(selects({ app: "db" }, labels), false);
  assert.equal(selects({ app: "web", tier: "x" }, labels), false);
  assert.equal(selects({ env: "" }, {}), false);
  assert.equal(selects({ constructor: "" }, labels), false);
  assert.equal(selects({ app: "web" }, undefined), false);
});
