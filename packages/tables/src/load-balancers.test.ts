import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type BackendRow,
  buildLoadBalancers,
  LoadBalancers,
  NO_BACKEND,
} from "./load-balancers.ts";
import { type AddressWords, IPV4_MAPPED } from "./ports.ts";

const NOBODY = new Int32Array(4);
const TCP = 6;
const UDP = 17;

function v4(last: number): AddressWords {
  return [0, 0, IPV4_MAPPED, 0x0a000000 + last];
}

function backends(...hosts: number[]): BackendRow[] {
  return hosts.map((host) => ({ address: v4(host), port: 8080 }));
}

function tableOf(own: readonly BackendRow[]): LoadBalancers {
  return tableWith([{ protocol: TCP, servicePort: 80, backends: own }]);
}

function tableWith(
  vips: readonly { protocol: number; servicePort: number; backends: readonly BackendRow[] }[],
): LoadBalancers {
  const rows = vips.map((vip) => ({ datapath: 3, address: v4(9), rejects: true, ...vip }));
  return new LoadBalancers(buildLoadBalancers(rows));
}

function keyOf(datapath: number, address: AddressWords): Int32Array {
  return Int32Array.from([datapath, 0, ...address, 0, 0]);
}

/** The host that serves a flow, -1 nobody. */
function serverOf(table: LoadBalancers, flow: number, except = NOBODY): number {
  const number = table.choose(0, flow, except);
  return number === NO_BACKEND ? -1 : table.backendWord(0, number, 3) - 0x0a000000;
}

test("a backend is found by its switch and address", () => {
  const table = tableWith([
    { protocol: TCP, servicePort: 80, backends: backends(1, 2) },
    { protocol: UDP, servicePort: 53, backends: backends(2, 3) },
  ]);
  const isBackend = (datapath: number, host: number): boolean =>
    table.isBackend(Int32Array.from([datapath, ...v4(host)]));
  assert.deepEqual(
    [1, 2, 3].map((host) => isBackend(3, host)),
    [true, true, true],
  );
  assert.equal(isBackend(3, 9), false, "the VIP's own");
  assert.equal(isBackend(4, 1), false, "in another switch");
  assert.equal(tableOf([]).isBackend(Int32Array.from([3, ...v4(1)])), false);
});

test("a VIP is found by its switch, address, protocol and port, else as one for everything", () => {
  const table = tableWith([
    { protocol: TCP, servicePort: 80, backends: backends(1) },
    { protocol: 0, servicePort: 0, backends: backends(2) },
  ]);
  assert.equal(table.find(keyOf(3, v4(9)), TCP, 80), 0);
  for (const [protocol, port] of [
    [TCP, 81],
    [UDP, 80],
    [1, 4711],
  ] as const) {
    assert.equal(table.find(keyOf(3, v4(9)), protocol, port), 1);
  }
  assert.ok(table.find(keyOf(4, v4(9)), TCP, 80) < 0);
  assert.ok(table.find(keyOf(3, v4(8)), TCP, 80) < 0);
  assert.equal(tableOf([]).isEmpty, false);
  assert.equal(tableWith([]).isEmpty, true);
});

test("flows spread evenly over backends", () => {
  const table = tableOf(backends(1, 2, 3));
  const counts = new Map<number, number>();
  for (let flow = 0; flow < 30_000; flow++) {
    const host = serverOf(table, Math.imul(flow, 0x9e3779b1));
    counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  for (const count of counts.values()) assert.ok(Math.abs(count - 10_000) < 500, `got ${count}`);
});

test("the order of the backends decides nothing", () => {
  const [a, b] = [tableOf(backends(1, 2, 3, 4)), tableOf(backends(4, 2, 1, 3))];
  for (let flow = 0; flow < 1000; flow++) assert.equal(serverOf(a, flow), serverOf(b, flow));
});

test("a backend that goes moves only its own flows, and one that comes takes its share", () => {
  const hosts = fc.uniqueArray(fc.integer({ min: 1, max: 200 }), { minLength: 2, maxLength: 20 });
  const property = fc.property(hosts, fc.array(fc.integer(), { minLength: 50 }), (all, flows) => {
    const [gone, ...rest] = all;
    const before = tableOf(backends(...all));
    const after = tableOf(backends(...rest));
    for (const flow of flows) {
      const server = serverOf(before, flow);
      if (server !== gone) assert.equal(serverOf(after, flow), server);
    }
  });
  fc.assert(property, { seed: 1 });
});

test("nobody is served by himself, and nobody serves when nobody else is left", () => {
  const two = tableOf(backends(1, 2));
  for (let flow = 0; flow < 100; flow++)
    assert.equal(serverOf(two, flow, Int32Array.from(v4(1))), 2);
  assert.equal(serverOf(tableOf(backends(1)), 5, Int32Array.from(v4(1))), -1);
  assert.equal(serverOf(tableOf([]), 5), -1);
});
