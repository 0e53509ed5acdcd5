/**
 * Devices that go away and come back under a running chassis: what was for them is dropped by name,
 * the others do not notice, REST says what is wrong, and nobody has to do anything when they are
 * back. The same for an underlay that carries less than the chassis was told.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { HealthView, PortStatusView, WorkersView } from "@rhone/api/context";
import { runOrThrow } from "@rhone/cli/run";
import { dropsOf, type LabFixture, useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 60_000 };
const MTU = 1418;
const UNDERLAY_MTU = 1500;
const OTHERS = { from: "vm2", to: "10.0.1.12", count: 40 } as const;

const lab = labOf({
  name: "device-changes",
  chassis: ["a"],
  ports: [
    { name: "vm1", switch: "s", chassis: "a", addresses: ["10.0.1.10"] },
    { name: "vm2", switch: "s", chassis: "a", addresses: ["10.0.1.11"] },
    { name: "vm3", switch: "s", chassis: "a", addresses: ["10.0.1.12"] },
  ],
});

const ping = (fixture: LabFixture, from: string, to: string, count: number) =>
  fixture.run(from, "ping", "-c", String(count), "-i", "0.1", "-W", "1", to);

/** Resolves when what REST says of vm1 is as wanted. */
async function whenStatus(
  fixture: LabFixture,
  what: string,
  isWanted: (status: PortStatusView) => boolean,
): Promise<void> {
  const { client } = fixture.chassis("a");
  await until(what, async () => {
    const { status } = await client.get<{ status: PortStatusView }>("/v1/ports/vm1");
    return isWanted(status);
  });
}

/** The cable between vm1 and its chassis is cut, and both ends are gone. */
async function cutCable(fixture: LabFixture): Promise<void> {
  await runOrThrow(["ip", "-n", fixture.chassis("a").namespace, "link", "del", "vm1"]);
}

async function layCable(fixture: LabFixture): Promise<void> {
  const { mac, addresses } = lab.workloads[0]!;
  const [ours, theirs] = [fixture.chassis("a").namespace, fixture.running.namespaceOf("vm1")];
  const peer = ["peer", "name", "eth0", "mtu", String(MTU), "address", mac, "netns", theirs];
  const veth = ["link", "add", "vm1", "mtu", String(MTU), "type", "veth", ...peer];
  await runOrThrow(["ip", "-n", ours, ...veth]);
  const off = ["tx", "off", "tso", "off", "gso", "off"];
  await fixture.run("vm1", "ethtool", "-K", "eth0", ...off);
  await runOrThrow(["ip", "-n", ours, "link", "set", "vm1", "up"]);
  await runOrThrow(["ip", "-n", theirs, "link", "set", "eth0", "up"]);
  const { address, prefixLength } = addresses[0]!;
  const target = `${address}/${prefixLength}`;
  await runOrThrow(["ip", "-n", theirs, "address", "add", target, "dev", "eth0"]);
}

async function unaccounted(fixture: LabFixture): Promise<number> {
  const view = await fixture.chassis("a").client.get<WorkersView>("/v1/workers");
  return view.slots.unaccounted;
}

for (const driver of ["af-packet", "af-xdp"] as const) {
  describe(`over ${driver}`, () => {
    const fixture = useLab(`devices-${driver}`, { lab, driver, workers: 2 });

    test("a workload's device goes away and comes back, twice", LIMIT, async () => {
      const { client } = fixture.chassis("a");
      for (let time = 0; time < 2; time++) {
        const others = ping(fixture, OTHERS.from, OTHERS.to, OTHERS.count);
        const before = await fixture.counters("a");
        await cutCable(fixture);
        await whenStatus(fixture, "vm1 is down, and REST says why", ({ up, detail }) => {
          return !up && /gone|network device/.test(detail ?? "");
        });
        const lost = await ping(fixture, "vm2", "10.0.1.10", 2);
        assert.notEqual(lost.code, 0);
        const after = await fixture.counters("a");
        assert.ok(dropsOf(after, "device-down") > dropsOf(before, "device-down"));
        await layCable(fixture);
        await whenStatus(fixture, "vm1 is up again", ({ up }) => up);
        const { code, stdout } = await ping(fixture, "vm2", "10.0.1.10", 3);
        assert.equal(code, 0, stdout);
        assert.match((await others).stdout, / 0% packet loss/, "the others did not notice");
      }
      assert.equal(await unaccounted(fixture), 0);
      assert.equal((await client.request("GET", "/healthz")).status, 200);
    });
  });
}

describe("an underlay that carries less than the chassis was told", () => {
  const fixture = useLab("devices-underlay", { lab, workers: 1 });

  test("health says so, and what is there, until it carries enough again", LIMIT, async () => {
    const { client, namespace } = fixture.chassis("a");
    const check = async (): Promise<HealthView["checks"][number]> => {
      const { body } = await client.request("GET", "/healthz");
      return (body as HealthView).checks.find(({ name }) => name === "underlay")!;
    };
    const carry = (mtu: number) =>
      runOrThrow(["ip", "-n", namespace, "link", "set", "underlay", "mtu", String(mtu)]);
    assert.match((await check()).detail, /underlay has an MTU of 1500; workloads have 1418/);
    await carry(UNDERLAY_MTU - 1);
    const { ok, detail } = await check();
    assert.equal(ok, false);
    assert.match(detail, /an MTU of 1499, less than the underlayMtu of 1500/);
    await carry(UNDERLAY_MTU);
    assert.equal((await check()).ok, true);
  });
});
