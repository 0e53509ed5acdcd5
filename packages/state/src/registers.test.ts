import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { difference, documentOf, type Fields, registersOf } from "./registers.ts";
import type { Kind } from "./schema.ts";

const key = fc.constantFrom("a", "b", "c/d", "~1");
const backend = fc.record({ address: key, port: fc.constantFrom(1, 2) });
const DOCUMENTS: Readonly<Record<string, fc.Arbitrary<Fields>>> = {
  switch: fc.record({ description: key }, { requiredKeys: [] }),
  router: fc.record({
    ports: fc.array(fc.record({ name: key, mac: key }), { maxLength: 4 }),
    routes: fc.array(fc.record({ prefix: key, nextHop: key }), { maxLength: 4 }),
  }),
  port: fc.record(
    {
      mac: key,
      addresses: fc.array(key, { maxLength: 4 }),
      chassis: key,
      device: key,
      portSecurity: fc.boolean(),
      labels: fc.dictionary(key, key, { minKeys: 1 }),
    },
    { requiredKeys: ["mac", "addresses"] },
  ),
  "load-balancer": fc.record({
    switches: fc.array(key, { maxLength: 3 }),
    vips: fc.array(
      fc.record({ address: key, port: fc.nat(2), backends: fc.array(backend, { maxLength: 3 }) }),
      { maxLength: 3 },
    ),
  }),
};

for (const [kind, fields] of Object.entries(DOCUMENTS)) {
  const document = fields.map((rest) => JSON.parse(JSON.stringify({ kind, name: "x", ...rest })));

  test(`a ${kind} is what its registers say, copies of elements too`, () => {
    fc.assert(
      fc.property(document, (one) => {
        assert.deepEqual(documentOf(kind as Kind, "x", registersOf(kind as Kind, one)), one);
      }),
    );
  });

  test(`the difference of two of kind ${kind} leads from one to the other`, () => {
    fc.assert(
      fc.property(document, document, (one, other) => {
        const [from, to] = [one, other].map((value) => registersOf(kind as Kind, value));
        const changed = new Map([...from!, ...Object.entries(difference(from!, to!))]);
        assert.deepEqual(documentOf(kind as Kind, "x", changed), other);
        assert.deepEqual(difference(to!, to!), {});
      }),
    );
  });
}

test("elements that were added at two places at once are both there", () => {
  const router = (...routes: string[]) => {
    const list = routes.map((prefix) => ({ prefix, nextHop: "n" }));
    return registersOf("router", { kind: "router", name: "r", ports: [], routes: list });
  };
  const base = router("a");
  const left = difference(base, router("a", "l"));
  const right = difference(base, router("r", "a"));
  const both = new Map([...base, ...Object.entries(left), ...Object.entries(right)]);
  const { routes } = documentOf("router", "r", both) as { routes: { prefix: string }[] };
  assert.deepEqual(
    routes.map(({ prefix }) => prefix),
    ["r", "a", "l"],
  );
});
