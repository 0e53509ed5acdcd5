import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bindingName, type Claim, claimsByPort, claimsOf, holderOf } from "./claim.ts";
import { createMemoryStore } from "./memory-store.ts";
import type { Port } from "./schema.ts";

const port: Port = {
  ...{ kind: "port", name: "vm", switch: "s", mac: "02:00:00:00:00:01", addresses: [] },
  portSecurity: true,
};
const MIGRATION = { chassis: "b", activation: [] };

interface Spec {
  readonly epoch?: number;
  readonly clock?: number;
  readonly standby?: boolean;
}

function claim(chassis: string, { epoch = 1, clock = 1, standby = false }: Spec = {}): Claim {
  const name = bindingName("vm", chassis);
  const value = { kind: "binding", name, port: "vm", chassis, epoch, standby, up: true } as const;
  const created = { clock, origin: chassis };
  return { kind: "binding", name, created, version: created, value };
}

test("the chassis that is asked for has the port, whatever others claim", () => {
  const others = [claim("b", { epoch: 9 }), claim("c", { clock: 1 })];
  assert.equal(holderOf({ ...port, chassis: "a" }, others), "a");
});

test("of others the higher epoch has it, then who was first", () => {
  const first = claim("c", { clock: 5 });
  assert.equal(holderOf(port, []), undefined);
  assert.equal(holderOf(port, [claim("a", { clock: 6 }), first]), "c");
  assert.equal(holderOf(port, [claim("a", { clock: 6, epoch: 2 }), first]), "a");
  assert.equal(holderOf(port, [claim("a", { epoch: 2, standby: true }), first]), "c");
});

test("of two who were first at the same time it is the same one in any order", () => {
  const spec = fc.record({ epoch: fc.integer({ min: 1, max: 2 }), clock: fc.nat(1) });
  const claims = fc
    .tuple(spec, spec, spec)
    .map((specs) => specs.map((s, i) => claim("abc"[i]!, s)));
  fc.assert(
    fc.property(claims, fc.array(fc.nat(2)), (all, swaps) => {
      const mixed = [...all];
      for (const at of swaps) mixed.push(...mixed.splice(at, 1));
      assert.equal(holderOf(port, mixed), holderOf(port, all));
    }),
  );
});

test("a port that moves is at its source until its target is active in a higher epoch", () => {
  const moving = { ...port, chassis: "a", migration: MIGRATION };
  const source = claim("a", { epoch: 3 });
  assert.equal(holderOf(moving, [source]), "a");
  assert.equal(holderOf(moving, [source, claim("b", { epoch: 4, standby: true })]), "a");
  assert.equal(holderOf(moving, [source, claim("b", { epoch: 3 })]), "a", "of an earlier move");
  assert.equal(holderOf(moving, [source, claim("b", { epoch: 4 })]), "b");
  assert.equal(holderOf({ ...port, chassis: "a" }, [source, claim("b", { epoch: 4 })]), "a");
});

test("claims of a port are found by its name, and only of chassis that there are", () => {
  const store = createMemoryStore("a");
  const longest = "p".repeat(63);
  const documents = [
    ...["a", "b"].map((name) => {
      return { kind: "chassis", name, underlay: "192.168.0.1", workers: 1, version: "1" };
    }),
    ...[longest, "vm", "vm2"].flatMap((port) =>
      ["a", "b", "gone"].map((chassis) => {
        const name = bindingName(port, chassis);
        return { kind: "binding", name, port, chassis, epoch: 1, up: true };
      }),
    ),
  ];
  const changes = documents.map((document) => ({ op: "put", document }) as const);
  assert.ok(store.transact(changes, "chassis").ok);
  const state = store.snapshot();
  const grouped = claimsByPort(state);
  for (const name of [longest, "vm", "vm2", "none"]) {
    const found = claimsOf(state, name);
    assert.deepEqual(found, grouped(name));
    const wanted = name === "none" ? [] : ["a", "b"];
    assert.deepEqual(found.map(({ value }) => value.chassis).sort(), wanted);
  }
});
