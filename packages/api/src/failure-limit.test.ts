import assert from "node:assert/strict";
import { test } from "node:test";
import { FAILURES_MAX, FailureLimit, REFILL_MS, SOURCES_MAX, sourceOf } from "./failure-limit.ts";

test("a source has some failures at once, and then one more each time it waited", () => {
  const limit = new FailureLimit();
  for (let i = 0; i < FAILURES_MAX; i++) assert.equal(limit.fail("192.0.2.1", 0), 0);
  assert.equal(limit.fail("192.0.2.1", 0), REFILL_MS);
  assert.equal(limit.fail("192.0.2.2", 0), 0);
  assert.equal(limit.fail("192.0.2.1", REFILL_MS), 0);
  assert.ok(limit.fail("192.0.2.1", REFILL_MS) > 0);
});

test("sources are bounded, and who failed longest ago is forgotten first", () => {
  const limit = new FailureLimit();
  for (let i = 0; i <= FAILURES_MAX; i++) limit.fail("new", 0);
  for (let i = 0; i < SOURCES_MAX - 1; i++) limit.fail(`host-${i}`, 0);
  assert.ok(limit.fail("new", 0) > 0);
  for (let i = 0; i < SOURCES_MAX; i++) limit.fail(`other-${i}`, 0);
  assert.equal(limit.size, SOURCES_MAX);
  assert.equal(limit.fail("new", 0), 0);
});

test("an IPv6 network is one source, and IPv4 is the same in both texts", () => {
  assert.equal(sourceOf("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(sourceOf("2001:db8:1:2::1"), sourceOf("2001:db8:1:2:ffff::9"));
  assert.equal(sourceOf("fe80::1%eth0"), sourceOf("fe80::2"));
  assert.notEqual(sourceOf("2001:db8:1:2::1"), sourceOf("2001:db8:1:3::1"));
  assert.equal(sourceOf("::1"), "0:0:0:0::/64");
});
