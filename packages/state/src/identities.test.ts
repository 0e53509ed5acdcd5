import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { allIdentitiesOf, identitiesOf } from "./identities.ts";
import type { Labels } from "./labels.ts";
import type { LiveEntry } from "./record.ts";
import { IDENTITY_INIT } from "./reserved-identities.ts";
import { complete, type Port } from "./schema.ts";
import { formatLabels } from "./text.ts";

function entry(name: string, labels: Labels, clock = 1, origin = "a"): LiveEntry<Port> {
  const document = { kind: "port" as const, name, switch: "s", addresses: [], labels };
  const version = { clock, origin };
  const value = complete(document) as Port;
  return { kind: "port", name, created: version, version, value };
}

const value = fc.constantFrom("", "a", "b");
const labels = fc.dictionary(fc.constantFrom("app", "env", "x/y"), value, { maxKeys: 3 });
const ports = fc
  .array(fc.tuple(labels, fc.integer({ min: 1, max: 3 }), fc.constantFrom("a", "b")), {
    maxLength: 20,
  })
  .map((all) => all.map(([labels, clock, origin], i) => entry(`p${i}`, labels, clock, origin)));

/** So few numbers that most sets want one that is taken. */
const crowded = (text: string, attempt: number): number =>
  attempt < 3 ? text.length % 2 : text.length * 100 + attempt;

test("the number of labels is the beginning of their SHA-256, the first bit set", () => {
  const [identity] = identitiesOf([entry("vm1", { tier: "front", app: "web" })]);
  const digest = createHash("sha256").update("app=web,tier=front").digest();
  const number = (digest.readUInt32BE(0) | 0x80000000) >>> 0;
  assert.deepEqual(identity, { number, labels: { app: "web", tier: "front" }, ports: ["vm1"] });
  assert.deepEqual(identitiesOf([entry("vm1", {})]), [
    { number: IDENTITY_INIT, labels: {}, ports: ["vm1"] },
  ]);
});

for (const [title, numberOf] of [
  ["", undefined],
  [", also when they collide", crowded],
] as const) {
  test(`each set of labels has one number, in whatever order ports come${title}`, () => {
    const cases = ports.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
    );
    fc.assert(
      fc.property(cases, ([all, shuffled]) => {
        const identities = identitiesOf(all, numberOf);
        assert.deepEqual(identitiesOf(shuffled, numberOf), identities);
        assert.equal(new Set(identities.map(({ number }) => number)).size, identities.length);
        const sets = identities.map(({ labels }) => formatLabels(labels));
        const wanted = new Set(all.map((port) => formatLabels(port.value.labels ?? {})));
        assert.deepEqual(sets.toSorted(), [...wanted].sort());
        for (const { labels, ports } of identities) {
          const alike = all.filter(
            (p) => formatLabels(p.value.labels ?? {}) === formatLabels(labels),
          );
          assert.deepEqual(ports, alike.map(({ name }) => name).sort());
        }
      }),
    );
  });
}

test("of two that want a number the older has it, and goes on having it", () => {
  const collide = (_: string, attempt: number): number => 7 + attempt;
  const numbers = (...all: LiveEntry<Port>[]): Record<string, number> =>
    Object.fromEntries(
      identitiesOf(all, collide).map(({ number, labels }) => [formatLabels(labels), number & 0xff]),
    );
  const [old, young] = [entry("o", { app: "old" }, 1), entry("y", { app: "young" }, 2)];
  assert.deepEqual(numbers(young, old), { "app=old": 7, "app=young": 8 });
  assert.deepEqual(numbers(young), { "app=young": 7 });
  // Another port with the same labels as the younger one changes nothing.
  const more = entry("a", { app: "young" }, 3);
  assert.deepEqual(numbers(more, young, old), { "app=old": 7, "app=young": 8 });
  // As old: the smaller hash.
  const [one, other] = [entry("o", { app: "1" }), entry("y", { app: "2" })];
  const hash = (text: string): string => createHash("sha256").update(text).digest("hex");
  const first = hash("app=1") < hash("app=2") ? "app=1" : "app=2";
  assert.equal(numbers(one, other)[first], 7);
  assert.deepEqual(numbers(one, other), numbers(other, one));
});

test("the reserved ones are there with Cilium's numbers, and never those of labels", () => {
  const all = allIdentitiesOf([entry("vm1", { app: "web" }), entry("vm2", {}), entry("vm3", {})]);
  const names = all.map(({ number, reserved, ports }) => [number, reserved, ports.join(" ")]);
  assert.deepEqual(names.slice(0, -1), [
    ...[
      [1, "host", ""],
      [2, "world", ""],
      [3, "unmanaged", ""],
      [4, "health", ""],
    ],
    ...[
      [5, "init", "vm2 vm3"],
      [6, "remote-node", ""],
      [7, "kube-apiserver", ""],
    ],
    ...[
      [8, "ingress", ""],
      [9, "world-ipv4", ""],
      [10, "world-ipv6", ""],
    ],
  ]);
  assert.deepEqual(all.at(-1), identitiesOf([entry("vm1", { app: "web" })])[0]);
  assert.equal(allIdentitiesOf([]).length, 10);
});
