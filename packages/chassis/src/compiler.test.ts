import assert from "node:assert/strict";
import { test } from "node:test";
import { bindingName } from "@rhone/state/claim";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Store } from "@rhone/state/store";
import { type Generation, pagesOf, Tables } from "@rhone/tables/generation";
import { parseAddress } from "@rhone/wire/address";
import fc from "fast-check";
import { ChangingWorld, changes } from "../test/changing-world.ts";
import { compile, type Self } from "./compile.ts";
import { FULL_REASONS } from "./compile-step.ts";
import { Compiler } from "./compiler.ts";

const noFailure = (error: Error): void => {
  throw error;
};

const self: Self = {
  name: "a",
  tunnelMtu: 1418,
  keys: null,
  devices: new Map(),
  workers: [0],
  ruleCounters: new Map(),
};

test("whatever changes, the tables are those of a full compilation, and stay as they are", () => {
  const reasons = new Set<string>();
  let [steps, all] = [0, 0];
  fc.assert(
    fc.property(changes, (sequence) => {
      const world = new ChangingWorld();
      const compiler = new Compiler(noFailure);
      const made: { step: Generation; full: Generation }[] = [];
      for (const each of [[], ...sequence]) {
        for (const change of each) world.change(change);
        const step = compiler.compile(world.state, world.self);
        const full = compile(world.state, world.self);
        assert.deepEqual(step, full);
        made.push({ step, full });
      }
      // What came later has changed nothing of it.
      for (const { step, full } of made) assert.deepEqual(step, full);
      for (const page of made.flatMap(({ step }) => pagesOf(step))) {
        assert.ok(page.buffer instanceof SharedArrayBuffer);
      }
      const { counts } = compiler;
      for (const [reason, count] of Object.entries(counts.full)) if (count > 0) reasons.add(reason);
      steps += counts.steps;
      all += made.length;
    }),
    { numRuns: 1000 },
  );
  // The changes are such that most are steps, and that each reason against one is met.
  assert.ok(steps > all / 2, `${steps} steps of ${all} compilations`);
  const met = Object.keys(FULL_REASONS).filter((reason) => reasons.has(reason));
  assert.deepEqual(met, ["first", "networks", "chassis", "self", "keys"]);
});

/** So many ports in ten switches, with two addresses each. */
function storeWith(ports: number): Store {
  const store = createMemoryStore("a");
  const switches = Array.from({ length: 10 }, (_, i) => ({ kind: "switch", name: `s${i}` }));
  put(store, ...switches, ...Array.from({ length: ports }, (_, i) => portOf(i)));
  return store;
}

function portOf(i: number): object {
  const at = i % 10;
  const host = 2 + Math.floor(i / 10);
  const addresses = [`10.${at}.${host >> 8}.${host & 255}`, `fd00:0:0:${at}::${host.toString(16)}`];
  return { kind: "port", name: `port${i}`, switch: `s${at}`, addresses };
}

function put(store: Store, ...documents: readonly object[]): void {
  const result = store.transact(
    documents.map((document) => ({ op: "put", document })),
    "user",
  );
  assert.ok(result.ok, JSON.stringify(result));
}

function bytesOf(generation: Generation): number {
  return pagesOf(generation).reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** Bytes of the pages that the one before does not have. */
function bytesMade(before: Generation, after: Generation): number {
  const known = new Set(pagesOf(before).map(({ buffer }) => buffer));
  const made = pagesOf(after).filter(({ buffer }) => !known.has(buffer));
  return made.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

test("a new port costs a few pages, however many ports there are", () => {
  const store = storeWith(3000);
  const compiler = new Compiler(noFailure);
  compiler.compile(store.snapshot(), self);
  put(store, portOf(3000)); // Makes room behind the rows of ports, once.
  const before = compiler.compile(store.snapshot(), self);
  put(store, portOf(3001));
  const after = compiler.compile(store.snapshot(), self);
  const [made, all] = [bytesMade(before, after), bytesOf(after)];
  assert.ok(made < all / 8, `${made} of ${all} bytes`);
  const tables = (generation: Generation) => new Tables(generation);
  const key = Int32Array.of(1, ...parseAddress("10.1.1.46")!);
  assert.equal(tables(after).neighbours.find(key), 3001);
  assert.equal(tables(before).neighbours.find(key), -1);
  assert.deepEqual([tables(before).ports.count, tables(after).ports.count], [3001, 3002]);
  assert.equal(compiler.counts.steps, 2);
});

test("what is not in the tables makes nothing but a new number", () => {
  const store = storeWith(100);
  const compiler = new Compiler(noFailure);
  const before = compiler.compile(store.snapshot(), self);
  const name = bindingName("nobody", "a");
  const token = { kind: "binding", name, port: "nobody", chassis: "a", epoch: 1, up: true };
  const result = store.transact([{ op: "put", document: token }], "chassis");
  assert.ok(result.ok);
  const after = compiler.compile(store.snapshot(), self);
  assert.equal(bytesMade(before, after), 0);
  assert.equal(after.generation, before.generation + 1);
  put(store, { kind: "switch", name: "s3", description: "what people read" });
  const described = compiler.compile(store.snapshot(), self);
  assert.equal(bytesMade(after, described), 0);
  assert.deepEqual(described, compile(store.snapshot(), self));
  put(store, { kind: "switch", name: "s3", maxStaleSeconds: 30 });
  assert.deepEqual(compiler.compile(store.snapshot(), self), compile(store.snapshot(), self));
  assert.deepEqual([compiler.counts.steps, compiler.counts.full.networks], [2, 1]);
});

test("a state that cannot be compiled is named, and the next one that can is compiled", () => {
  const failed: Error[] = [];
  const compiler = new Compiler((error) => failed.push(error));
  const store = storeWith(10);
  const good = compiler.compile(store.snapshot(), self);
  const state = store.snapshot();
  const [first, ...others] = state.ports;
  const bad = { ...first!, value: { ...first!.value, addresses: ["nonsense"] } };
  assert.throws(() => compiler.compile({ ...state, ports: [bad, ...others] }, self), {
    message: 'port port0: expected a validated IP address, got "nonsense"',
    ...{ kind: "port", object: "port0" },
  });
  assert.deepEqual(compiler.compile(state, self), good);
  assert.deepEqual(failed, []);
});

test("a step that fails is reported and made up for", () => {
  const failed: Error[] = [];
  const compiler = new Compiler((error) => failed.push(error));
  const store = storeWith(10);
  compiler.compile(store.snapshot(), self);
  put(store, portOf(10));
  // Only the step asks for what went before.
  const devices = new Map();
  const broken = { ...self, devices: Object.assign(devices, { keys: () => fail("no keys") }) };
  const state = store.snapshot();
  assert.deepEqual(compiler.compile(state, broken), compile(state, self));
  assert.equal(compiler.counts.full.failed, 1);
  assert.deepEqual(
    failed.map(({ message }) => message),
    ["no keys"],
  );
});

function fail(message: string): never {
  throw new Error(message);
}
