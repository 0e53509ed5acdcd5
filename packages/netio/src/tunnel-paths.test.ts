import assert from "node:assert/strict";
import { test } from "node:test";
import { type Address, parseAddress } from "@rhone/wire/address";
import fc from "fast-check";
import { PATHS_MAX, type TunnelPath, TunnelPaths, writePaths } from "./tunnel-paths.ts";

const path = (address: Address, seed: number): TunnelPath => ({
  address,
  mtu: 1400 + seed,
  header: new Uint8Array(14).map((_, i) => (seed * 31 + i) & 0xff),
});

test("finds each path by its address, and no other address", () => {
  const word = fc.integer({ min: 0, max: 0x7fff_ffff });
  const address = fc.tuple(word, word, word, word);
  const paths = fc.uniqueArray(address, { maxLength: 200, selector: String });
  fc.assert(
    fc.property(paths, address, (addresses, stranger) => {
      const table = new TunnelPaths(writePaths(addresses.map(path)));
      const target = new DataView(new ArrayBuffer(16));
      for (const [i, each] of addresses.entries()) {
        const row = table.find(Int32Array.from([0, ...each]), 1);
        assert.equal(table.mtu(row), 1400 + i);
        assert.ok(!table.takeUsed(row));
        table.writeHeader(row, target, 2);
        assert.deepEqual(new Uint8Array(target.buffer, 2), path(each, i).header);
        assert.ok(table.takeUsed(row) && !table.takeUsed(row));
      }
      const isKnown = addresses.some((each) => String(each) === String(stranger));
      assert.equal(table.find(Int32Array.from(stranger), 0) !== -1, isKnown);
    }),
  );
});

test("holds no more than its limit, and those it has are the first", () => {
  const address = (i: number): Address => [0, 0, 0xffff, i];
  const all = Array.from({ length: PATHS_MAX + 1 }, (_, i) => path(address(i), i));
  const table = new TunnelPaths(writePaths(all));
  assert.notEqual(table.find(Int32Array.from(address(PATHS_MAX - 1)), 0), -1);
  assert.equal(table.find(Int32Array.from(address(PATHS_MAX)), 0), -1);
  const none = new TunnelPaths(writePaths([]));
  assert.equal(none.find(Int32Array.from(parseAddress("10.0.0.1")!), 0), -1);
});
