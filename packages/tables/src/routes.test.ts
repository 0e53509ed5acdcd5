import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { AddressWords } from "./ports.ts";
import { findRoute } from "./routes.golden.ts";
import { buildRoutes, type Route, Routes } from "./routes.ts";

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
/** Few values, so that prefixes lie in each other; of either family. */
const near = fc.constantFrom(0, 1, 2 ** 31 - 1, -1, -(2 ** 31), 0x0a000000, 0x0a000100, 0x0a0001ff);
const anyWord = fc.oneof(word, near);
const address: fc.Arbitrary<AddressWords> = fc.oneof(
  fc.tuple(fc.constant(0), fc.constant(0), fc.constant(0xffff), anyWord),
  fc.tuple(near, near, fc.oneof(near, fc.constant(0xffff)), anyWord),
);
const length = fc.oneof(
  fc.integer({ min: 0, max: 128 }),
  fc.constantFrom(0, 1, 64, 95, 96, 97, 120, 126, 127, 128),
);
const route: fc.Arbitrary<Route> = fc.record({
  prefix: address,
  length,
  outPort: fc.integer({ min: 0, max: 5 }),
  nextHop: fc.option(address),
});

/** What a table says of an address: the out-port, and what is then looked for. */
function ask(table: Routes, router: number, target: AddressWords): unknown {
  const row = table.find(router, Int32Array.from(target));
  if (row < 0) return null;
  const next = Int32Array.from(target);
  table.applyNextHop(row, next);
  return [table.outPort(row), ...next];
}

function askGolden(routes: readonly Route[], target: AddressWords): unknown {
  const found = findRoute(routes, target);
  if (found === undefined) return null;
  const isConnected = found.nextHop?.every((each) => each === 0) ?? true;
  return [found.outPort, ...Int32Array.from(isConnected ? target : found.nextHop!)];
}

test("routes agree with their plain twin, whatever they and the addresses are", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(route, { maxLength: 40 }), { maxLength: 3 }),
      fc.array(address, { maxLength: 40 }),
      (routesOf, targets) => {
        const table = new Routes(buildRoutes(routesOf));
        const prefixes = routesOf.flat().map(({ prefix }) => prefix);
        // The last addresses of some, and those just behind them.
        const ends = prefixes.map((words) => words.with(3, words[3] | 0xff) as never);
        const behind = prefixes.map((words) => words.with(3, (words[3] + 256) | 0) as never);
        for (const [router, routes] of routesOf.entries()) {
          for (const target of [...targets, ...prefixes, ...ends, ...behind]) {
            assert.deepEqual(ask(table, router, target), askGolden(routes, target));
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});

const ipv4 = (text: number): AddressWords => [0, 0, 0xffff, text | 0];

test("the longest of prefixes that lie in each other wins, in either order", () => {
  const nested: Route[] = [96, 98, 104, 105, 120, 127, 128].map((each, outPort) => ({
    ...{ prefix: ipv4(0x0a000000), length: each, outPort, nextHop: null },
  }));
  const targets: [number, number][] = [
    [0x0a000000, 6],
    [0x0a000001, 5],
    [0x0a000002, 4],
    [0x0a000100, 3],
    [0x0a800000, 2],
    [0x0b000000, 1],
    [0xff000000, 0],
  ];
  for (const routes of [nested, nested.toReversed()]) {
    const table = new Routes(buildRoutes([routes]));
    for (const [target, outPort] of targets) {
      assert.equal(table.outPort(table.find(0, Int32Array.from(ipv4(target)))), outPort);
    }
  }
});

test("a default route of one family is none of the other", () => {
  const ofIpv6: Route = { prefix: [0, 0, 0, 0], length: 0, outPort: 1, nextHop: null };
  const ofIpv4: Route = { prefix: ipv4(0), length: 96, outPort: 2, nextHop: null };
  const table = new Routes(buildRoutes([[ofIpv6], [ofIpv4], []]));
  const [near, far] = [Int32Array.from(ipv4(1)), Int32Array.from([0x20010db8, 0, 0, 1])];
  assert.deepEqual(
    [0, 1, 2].map((router) => [table.find(router, near) < 0, table.find(router, far) < 0]),
    [
      [true, false],
      [false, true],
      [true, true],
    ],
  );
});

test("of two routes for one prefix the first counts", () => {
  const routes = [7, 8].map((outPort) => ({
    // The second one has bits behind its length.
    ...{ prefix: ipv4(0x0a000000 + outPort), length: 120, outPort, nextHop: null },
  }));
  const table = new Routes(buildRoutes([routes]));
  assert.equal(table.outPort(table.find(0, Int32Array.from(ipv4(0x0a000009)))), 7);
});

test("half a million routes take less than 24 MiB, and each is found", () => {
  const count = 500_000;
  const routes: Route[] = [];
  for (let i = 0, at = 0x01000000; i < count; i++, at += 256 * (1 + (i & 3))) {
    routes.push({ prefix: ipv4(at), length: 120, outPort: i % 4096, nextHop: null });
  }
  const images = buildRoutes([routes]);
  const words = Object.values(images).reduce((sum, { length: each }) => sum + each, 0);
  assert.ok(words * 4 < 24 * 2 ** 20, `${words} words`);
  const table = new Routes(images);
  const target = new Int32Array(4);
  for (const { prefix, outPort } of routes) {
    target.set(prefix);
    target[3]! |= 0x7f;
    assert.equal(table.outPort(table.find(0, target)), outPort);
  }
});

test("more routes than there may be are refused", () => {
  const one: Route = { prefix: ipv4(0), length: 96, outPort: 0, nextHop: null };
  const many = new Array<Route>(2 ** 20 + 1).fill(one);
  assert.throws(() => buildRoutes([many]), /expected up to 1048576 routes, got 1048577/);
});
