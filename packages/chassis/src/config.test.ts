import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readConfig, tunnelMtu } from "./config.ts";

function read(text: string): ReturnType<typeof readConfig> {
  const directory = mkdtempSync(join(tmpdir(), "rhone-config-"));
  try {
    const path = join(directory, "chassis.yaml");
    writeFileSync(path, text);
    return readConfig(path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const GOOD = "name: a\nunderlay: 192.168.100.1\ndataDirectory: /tmp/x\napi: {}\n";

test("fills in what is left out", () => {
  const config = read(GOOD);
  assert.equal(config.workers, 2);
  assert.equal(config.driver, "af-packet");
  assert.equal(config.sourcePorts, 16);
  const ports = { clientPort: 4222, routePort: 6222, leafPort: 7422 };
  assert.deepEqual(config.nats, { ...ports, meshMax: 32, hubCount: 5, peers: [] });
  assert.equal(tunnelMtu(config), 1418);
});

test("an IPv6 underlay costs twenty bytes more", () => {
  assert.equal(tunnelMtu(read(GOOD.replace("192.168.100.1", "'fd00::1'"))), 1398);
});

test("refuses an underlay that leaves too little for IPv6, and says how much it takes", () => {
  assert.equal(tunnelMtu(read(`${GOOD}underlayMtu: 1362\n`)), 1280);
  assert.throws(
    () => read(`${GOOD}underlayMtu: 1361\n`),
    /:5: underlayMtu: expected at least 1362, got 1361: workloads would get 1279/,
  );
  const overIpv6 = GOOD.replace("192.168.100.1", "'fd00::1'");
  assert.equal(tunnelMtu(read(`${overIpv6}underlayMtu: 1382\n`)), 1280);
  assert.throws(() => read(`${overIpv6}underlayMtu: 1381\n`), /expected at least 1382, got 1381/);
});

test("names file, line, field and what was expected", () => {
  const text = `${GOOD}workers: 99\nunknown: 1\n`;
  assert.throws(() => read(text), /chassis\.yaml:5: workers: .*16.*\n.*unknown/s);
  assert.throws(() => read(GOOD.replace("192.168.100.1", "nowhere")), /:2: underlay: .*IP address/);
  assert.throws(() => read(`${GOOD}sourcePorts: 48\n`), /:5: sourcePorts: .*power of two/);
  assert.throws(() => read("name: [\n"), /chassis\.yaml: /);
  assert.throws(() => readConfig("/nonexistent.yaml"), /expected a readable file/);
});
