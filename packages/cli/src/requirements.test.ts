import assert from "node:assert/strict";
import { test } from "node:test";
import { checkKernel, checkPrograms, checkUser } from "./requirements.ts";

const ALL = { usesXdp: true, usesPing: true };

test("a missing program is named with the package that brings it", () => {
  const missing = checkPrograms(ALL, "/nowhere");
  assert.equal(missing.length, 4);
  assert.match(missing[0]!, /"ip" in \/nowhere: run scripts\/setup \(package iproute2\)/);
});

test("what an option alone needs is asked for only with the option", () => {
  const missing = checkPrograms({ usesXdp: false, usesPing: false }, "/nowhere").join();
  assert.doesNotMatch(missing, /ethtool|ping/);
});

test("this machine has all of it", () => {
  assert.deepEqual(checkPrograms(ALL, process.env["PATH"] ?? ""), []);
});

test("another user than root is told so", () => {
  assert.deepEqual(checkUser("linux", 0), []);
  assert.match(checkUser("linux", 1000)[0]!, /expected to run as root, got user 1000/);
  assert.match(checkUser("darwin", 501)[0]!, /expected Linux, got darwin/);
});

test("an old kernel is told what is needed", () => {
  assert.deepEqual(checkKernel("6.1.0-13-amd64"), []);
  assert.deepEqual(checkKernel("5.10.0"), []);
  assert.match(checkKernel("4.19.0-26")[0]!, /expected Linux 5\.10 or later, got 4\.19\.0-26/);
});
