/** On the real kernel, in namespaces of its own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { readLabFile } from "./lab-file.ts";
import { createNamespaces, type Driver, namespaceNames, runIn } from "./namespaces.ts";
import { cleanUp } from "./reaper.ts";
import { run, runOrThrow } from "./run.ts";

const LAB = readLabFile(fileURLToPath(new URL("../../../labs/web-db.yaml", import.meta.url)));
const GATEWAY = readLabFile(fileURLToPath(new URL("../../../labs/gateway.yaml", import.meta.url)));

async function withNamespaces(
  name: string,
  driver: Driver,
  body: (prefix: string) => Promise<void>,
  lab = LAB,
): Promise<void> {
  const prefix = `rhone-t${process.pid}-${name}`;
  const namespaces = namespaceNames(lab, prefix);
  try {
    await createNamespaces(lab, prefix, driver);
    await body(prefix);
  } finally {
    await cleanUp({ prefix, namespaces });
  }
  const left = (await runOrThrow(["ip", "netns", "list"])).split("\n");
  assert.deepEqual(
    left.filter((line) => line.startsWith(prefix)),
    [],
  );
}

test("a workload has its port's addresses, MTU and ways out", async () => {
  const before = await runOrThrow(["ip", "-o", "link"]);
  await withNamespaces("vm", "af-packet", async (prefix) => {
    const { stdout } = await runIn(`${prefix}-vm1`, [
      "sh",
      "-c",
      "ip address; ip route; ip -6 route",
    ]);
    assert.match(stdout, /eth0@.* mtu 1418/);
    assert.match(stdout, /link\/ether 02:00:00:00:01:10/);
    assert.match(stdout, /inet 10\.0\.1\.10\/24/);
    assert.match(stdout, /inet6 fd00:0:0:1::10\/64/);
    assert.match(stdout, /default via 10\.0\.1\.1 /);
    assert.match(stdout, /default via fd00:0:0:1::1 /);
    assert.doesNotMatch(stdout, /tentative/);
    assert.equal(await runOrThrow(["ip", "-o", "link"]), before);
  });
});

test("chassis reach each other, and their ends of the cables have no address", async () => {
  await withNamespaces("underlay", "af-packet", async (prefix) => {
    const ping = ["ping", "-q", "-c", "1", "-W", "1", "192.168.100.3"];
    assert.equal((await runIn(`${prefix}-a`, ping)).code, 0);
    const { stdout } = await runIn(`${prefix}-a`, ["ip", "address", "show", "dev", "vm1"]);
    assert.doesNotMatch(stdout, /inet/);
  });
});

test("with AF_XDP a workload finishes its checksums itself", async () => {
  await withNamespaces("xdp", "af-xdp", async (prefix) => {
    const { stdout } = await runIn(`${prefix}-vm1`, ["ethtool", "-k", "eth0"]);
    assert.match(stdout, /tx-checksumming: off/);
    assert.match(stdout, /tcp-segmentation-offload: off/);
  });
});

test("outside of a gateway is a switch with a cable to each member", async () => {
  const look = async (prefix: string): Promise<void> => {
    const { stdout } = await runIn(`${prefix}-uplink`, ["ip", "-d", "address"]);
    assert.match(stdout, /eth0: .* mtu 1418 [\s\S]* bridge [\s\S]*inet 10\.0\.9\.254\/24/);
    assert.match(stdout, /cable0@.* mtu 1418 .*master eth0/);
    assert.match(stdout, /cable1@.* mtu 1418 .*master eth0/);
    for (const chassis of ["a", "b"]) {
      const { stdout } = await runIn(`${prefix}-${chassis}`, ["ip", "link", "show", "uplink"]);
      assert.match(stdout, /uplink@.* mtu 1418 .*state UP/);
    }
    for (const device of ["cable0", "cable1", "eth0"]) {
      const { stdout } = await runIn(`${prefix}-uplink`, ["ethtool", "-k", device]);
      assert.match(stdout, /tx-checksumming: off/);
    }
  };
  await withNamespaces("gateway", "af-xdp", look, GATEWAY);
});

test("a namespace that is nobody's is left alone and named", async () => {
  const prefix = `rhone-t${process.pid}-taken`;
  await runOrThrow(["ip", "netns", "add", `${prefix}-vm2`]);
  try {
    await assert.rejects(createNamespaces(LAB, prefix, "af-packet"), (error: Error) => {
      assert.match(error.message, new RegExp(`expected no namespace ${prefix}-vm2, but it exists`));
      assert.match(error.message, /ip netns delete .*--prefix/);
      return true;
    });
    assert.doesNotMatch((await run(["ip", "netns", "list"])).stdout, new RegExp(`${prefix}-vm1`));
  } finally {
    await run(["ip", "netns", "delete", `${prefix}-vm2`]);
  }
});
