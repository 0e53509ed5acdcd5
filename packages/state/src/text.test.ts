import assert from "node:assert/strict";
import { test } from "node:test";
import { endText, matchText } from "./text.ts";

test("what a rule matches is said in a line", () => {
  assert.equal(matchText({}), "everything");
  const labels = { sourceLabels: { app: "web", tier: "front" }, source: "10.0.0.0/8" };
  const to = { destination: "10.0.2.10/32", destinationPorts: "443" };
  const line = "tcp from app=web,tier=front in 10.0.0.0/8 to 10.0.2.10/32:443";
  assert.equal(matchText({ protocol: "tcp", ...labels, ...to }), line);
  assert.equal(matchText({ protocol: "udp", sourcePorts: "53" }), "udp from any:53");
});

test("where a load balancer listens, and who answers", () => {
  assert.equal(endText({ address: "10.0.9.9" }), "10.0.9.9");
  assert.equal(endText({ address: "fd00::9", protocol: "tcp", port: 80 }), "tcp [fd00::9]:80");
});
