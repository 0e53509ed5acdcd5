import assert from "node:assert/strict";
import { test } from "node:test";
import { assertSecure, listenAddress } from "./listen-address.ts";

test("an address is read with its port, and known for one of this machine", () => {
  const loopback = { port: 7101, isLoopback: true };
  assert.deepEqual(listenAddress("127.0.0.1:7101"), { host: "127.0.0.1", ...loopback });
  assert.deepEqual(listenAddress("[::1]:7101"), { host: "::1", ...loopback });
  assert.deepEqual(listenAddress("localhost:7101"), { host: "localhost", ...loopback });
  for (const host of ["0.0.0.0", "[::]", "192.0.2.1", "[2001:db8::1]", "a.example.org"]) {
    assert.equal(listenAddress(`${host}:7101`).isLoopback, false, host);
  }
});

test("beyond loopback nothing is served without a certificate", () => {
  for (const text of ["0.0.0.0:7101", "[::]:7101", "192.0.2.1:7101"]) {
    assert.throws(() => assertSecure(text, false), /got ".+": elsewhere REST needs TLS/);
    assertSecure(text, true);
  }
  assertSecure("127.0.0.1:7101", false);
});
