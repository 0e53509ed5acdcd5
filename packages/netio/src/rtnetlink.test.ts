import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { formatAddress, parseAddress } from "@rhone/wire/address";
import { RouteTable } from "./rtnetlink.ts";
import { ip, TestNetwork, until } from "./test-network.ts";

const address = (text: string) => parseAddress(text)!;
const macOf = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("hex");

describe("the kernel's routes and neighbours", { timeout: 60_000 }, () => {
  const network = new TestNetwork();
  let [space, far] = ["", ""];
  let table: RouteTable;

  before(() => {
    space = network.namespace("near", true);
    far = network.namespace("far", true);
    network.veth(space, "near", far, "far");
    ip("-n", space, "link", "set", "near", "address", "02:00:00:00:00:01");
    ip("-n", space, "addr", "add", "10.5.0.1/24", "dev", "near");
    ip("-n", far, "addr", "add", "10.5.0.2/24", "dev", "far");
    ip("-n", space, "addr", "add", "fd05::1/64", "dev", "near", "nodad");
    ip("-n", space, "route", "add", "10.9.0.0/16", "via", "10.5.0.2", "mtu", "1400");
    ip("-n", space, "route", "add", "unreachable", "10.10.0.0/16");
    table = network.inside(space, () => new RouteTable());
  });
  after(() => {
    table.close();
    network.close();
  });

  test("an address has a device, and a device a name, an MTU and a MAC address", () => {
    for (const text of ["10.5.0.1", "fd05::1"]) {
      const link = table.link(table.deviceOf(address(text))!)!;
      assert.equal(link.name, "near");
      assert.equal(link.mtu, 1500);
      assert.equal(macOf(link.mac!), "020000000001");
    }
    assert.equal(table.deviceOf(address("10.5.0.77")), null);
    assert.equal(table.link(9999), null);
    const loopback = table.link(table.deviceOf(address("127.0.0.1"))!)!;
    assert.deepEqual([loopback.name, loopback.mac], ["lo", null]);
  });

  test("a route has a device, and a gateway and an MTU where there are any", () => {
    const from = address("10.5.0.1");
    const device = table.deviceOf(from)!;
    const near = table.route(from, address("10.5.0.2"));
    assert.deepEqual(near, { device, gateway: null, mtu: 0 });
    const remote = table.route(from, address("10.9.1.2"))!;
    assert.deepEqual([formatAddress(remote.gateway!), remote.mtu], ["10.5.0.2", 1400]);
    const six = table.route(address("fd05::1"), address("fd05::2"));
    assert.deepEqual(six, { device, gateway: null, mtu: 0 });
    assert.equal(table.route(from, address("10.10.0.1")), null, "unreachable");
    assert.equal(table.route(from, address("10.5.0.1")), null, "our own");
    assert.equal(table.route(from, address("172.16.0.1")), null, "none");
  });

  test("a neighbour is known when the kernel would send to it", () => {
    const device = table.deviceOf(address("10.5.0.1"))!;
    const known = (text: string) => macOf(table.neighbour(device, address(text))?.mac);
    for (const text of ["10.5.0.7", "fd05::7"]) {
      assert.equal(known(text), "", "nobody has heard of it");
      const entry = [text, "lladdr", "02:00:00:00:00:07", "dev", "near"];
      for (const state of ["permanent", "reachable", "stale", "delay", "probe"]) {
        ip("-n", space, "neigh", "replace", ...entry, "nud", state);
        assert.equal(known(text), "020000000007", state);
        assert.equal(table.neighbour(device, address(text))!.isStale, state === "stale");
      }
      ip("-n", space, "neigh", "replace", ...entry, "nud", "failed");
      assert.equal(known(text), "", "it did not answer");
    }
  });

  test("a stale neighbour that is in use is asked whether it still is there", () => {
    const device = table.deviceOf(address("10.5.0.1"))!;
    const neighbour = address("10.5.0.2");
    const entry = ["10.5.0.2", "lladdr", "02:00:00:00:00:09", "dev", "near", "nud", "stale"];
    ip("-n", space, "neigh", "replace", ...entry);
    assert.ok(table.neighbour(device, neighbour)!.isStale);
    table.use(device, neighbour);
    assert.ok(!table.neighbour(device, neighbour)!.isStale);
  });

  test("hears of changes of routes, neighbours, addresses and devices, each once", () => {
    table.hasChanged();
    assert.ok(!table.hasChanged());
    const entry = ["neigh", "replace", "10.5.0.8", "lladdr", "02:00:00:00:00:08", "dev", "near"];
    for (const change of [
      entry,
      ["route", "add", "10.11.0.0/16", "via", "10.5.0.2"],
      ["addr", "add", "10.5.0.3/24", "dev", "near"],
      ["link", "set", "near", "mtu", "1450"],
    ]) {
      ip("-n", space, ...change);
      until(`to hear of: ip ${change.join(" ")}`, () => table.hasChanged());
      until("silence", () => !table.hasChanged());
    }
  });
});
