import assert from "node:assert/strict";
import { test } from "node:test";
import { bindingName, claimAt, claimsOf } from "@rhone/state/claim";
import { createMemoryStore } from "@rhone/state/memory-store";
import { PortClaims } from "./port-claims.ts";

function make() {
  const disk = { isFull: false };
  const store = createMemoryStore("a", {
    disk: {
      write() {
        if (disk.isFull) throw new Error("database or disk is full");
      },
      close() {},
    },
  });
  const documents = [
    { kind: "chassis", name: "a", underlay: "192.168.0.1", version: "1", workers: 1 },
    { kind: "switch", name: "s" },
    { kind: "port", name: "vm", switch: "s", addresses: [], device: "vm" },
  ];
  for (const document of documents) {
    const result = store.transact([{ op: "put", document }], "chassis");
    assert.ok(result.ok, JSON.stringify(result));
  }
  const failures: object[] = [];
  const devices = [{ port: "vm", phase: "up", detail: "" }];
  const claims = new PortClaims({
    ...{ chassis: "a", store, devices: () => devices },
    turnAt: () => assert.fail("expected no gateway"),
    onFailure: (error) => failures.push(error),
  });
  const claim = () => claimAt(claimsOf(store.snapshot(), "vm"), "a");
  return { claims, claim, disk, failures, devices, store };
}

test("a claim that the disk had no room for is one that is to be tried again", () => {
  const { claims, claim, disk, failures } = make();
  disk.isFull = true;
  claims.announce();
  claims.announce();
  assert.equal(claim(), undefined);
  assert.equal(claims.hasFailed, true);
  assert.equal(failures.length, 1, "said once");
  disk.isFull = false;
  claims.announce();
  assert.equal(claim()?.name, bindingName("vm", "a"));
  assert.equal(claims.hasFailed, false);
});

test("what need not be said any more has not failed", () => {
  const { claims, disk, devices, failures } = make();
  disk.isFull = true;
  claims.announce();
  devices.length = 0;
  claims.announce();
  assert.equal(claims.hasFailed, false);
  devices.push({ port: "vm", phase: "up", detail: "" });
  claims.announce();
  assert.equal(failures.length, 2, "another failure");
});
