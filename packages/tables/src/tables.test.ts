import assert from "node:assert/strict";
import { test } from "node:test";
import { buildGroups, Groups } from "./groups.ts";
import type { AddressWords } from "./ports.ts";
import { buildRoutes, Routes } from "./routes.ts";

test("a next hop replaces the address, a connected route leaves it", () => {
  const prefix: AddressWords = [0, 0, 0xffff, 0x0a000000];
  const nextHop: AddressWords = [0, 0, 0xffff, 0x0a000001];
  const built = buildRoutes([[{ prefix, length: 104, outPort: 4, nextHop }], []]);
  const routes = new Routes(built);
  const address = Int32Array.from([0, 0, 0xffff, 0x0a010203]);
  routes.applyNextHop(routes.find(0, address), address);
  assert.deepEqual([...address], nextHop);
});

test("groups keep local and remote members of each switch apart", () => {
  const built = buildGroups([
    { local: [3, 4], remote: [1] },
    { local: [], remote: [] },
    { local: [9], remote: [0, 2] },
  ]);
  const groups = new Groups(built.index, built.members);
  assert.deepEqual([groups.localCount(0), groups.remoteCount(0)], [2, 1]);
  assert.deepEqual([groups.local(0, 1), groups.remote(0, 0)], [4, 1]);
  assert.deepEqual([groups.localCount(1), groups.remoteCount(1)], [0, 0]);
  assert.deepEqual([groups.local(2, 0), groups.remote(2, 1)], [9, 2]);
});
