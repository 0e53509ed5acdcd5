/**
 * S54: two chassis have the device of one port, which asks for neither. One of them has the port,
 * the same one for all three; the other one waits, lets nothing pass, and writes nothing. When the
 * one that has it dies, the other takes over under a higher epoch; when it comes back, it waits.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { PortStatusView } from "@rhone/api/context";
import { succeeded } from "@rhone/cli/rest-client";
import { ip, layCable } from "../guests.ts";
import { dropsOf, useLab } from "../lab-fixture.ts";
import { labOf } from "../topology.ts";
import { until } from "../until.ts";

const LIMIT = { timeout: 180_000 };
/** In which a chassis tries its devices again several times. */
const QUIET_MS = 3000;
const DEAD_MS = 60_000;
const CHASSIS = ["a", "b", "c"];
const MAC = "02:00:00:00:54:01";
const ADDRESS = "10.0.1.20";
const lab = labOf({
  name: "s54",
  chassis: CHASSIS,
  ports: [
    { name: "guest-a", switch: "spare", chassis: "a", addresses: ["10.9.0.1"] },
    { name: "guest-b", switch: "spare", chassis: "b", addresses: ["10.9.0.2"] },
    { name: "client", switch: "s", chassis: "c", addresses: ["10.0.1.10"] },
  ],
});
const fixture = useLab("s54", { lab });

async function statusAt(chassis: string): Promise<PortStatusView> {
  const { client } = fixture.chassis(chassis);
  return (await client.get<{ status: PortStatusView }>("/v1/ports/vm")).status;
}

async function revisionAt(chassis: string): Promise<number> {
  return succeeded(await fixture.chassis(chassis).client.request("GET", "/v1/ports")).revision;
}

/** The holder and what it is beside it, once all of `chassis` say the same. */
async function agreed(holder: string, epoch: number, chassis = CHASSIS): Promise<string> {
  const texts = new Set<string>();
  await until(
    `${holder} has the port in epoch ${epoch}, say ${chassis.join()}`,
    async () => {
      texts.clear();
      const all = await Promise.all(chassis.map(statusAt));
      for (const { claims } of all) texts.add(JSON.stringify(claims));
      return all.every(({ chassis, up, claims }) => {
        return chassis === holder && up && claims.length === 2 && claims[0]!.epoch === epoch;
      });
    },
    DEAD_MS,
  );
  assert.equal(texts.size, 1, [...texts].join("\n"));
  return [...texts][0]!;
}

async function framesTo(chassis: string): Promise<number> {
  const { devices } = await fixture.counters(chassis);
  return devices.find(({ port }) => port === "vm")!.txPackets;
}

/** The guest at `holder` answers, the one at `other` is not heard and hears nothing. */
async function assertForwards(holder: string, other: string): Promise<void> {
  const before = await framesTo(other);
  await until(`the guest at ${holder} answers`, async () => {
    return (await fixture.run("client", "ping", "-c1", "-W1", ADDRESS)).code === 0;
  });
  const drops = dropsOf(await fixture.counters(other), "port-standby");
  const ping = ["ping", "-c1", "-W1", "-I", "eth1", "10.0.1.10"];
  assert.notEqual((await fixture.run(`guest-${other}`, ...ping)).code, 0);
  assert.ok(dropsOf(await fixture.counters(other), "port-standby") > drops);
  assert.equal(await framesTo(other), before, "nothing is delivered there");
}

/** The process is gone, and does not come back before it is started. */
async function killForGood(chassis: string): Promise<void> {
  const stopped = fixture.chassis(chassis).stop();
  fixture.chassis(chassis).kill("SIGKILL");
  await stopped;
}

test("S54: of two chassis with the same port one has it, and nobody fights", LIMIT, async (t) => {
  const plug = async (chassis: string): Promise<void> => {
    const cable = { chassis, device: "vm", workload: `guest-${chassis}`, inner: "eth1" };
    await layCable(fixture, cable, [
      `link set eth1 address ${MAC} up`,
      `address add ${ADDRESS}/24 dev eth1`,
    ]);
  };
  const body = { switch: "s", addresses: [ADDRESS], mac: MAC, device: "vm" };
  const { client } = fixture.chassis("c");
  succeeded(await client.request("PUT", "/v1/ports/vm?wait=applied", { body }));
  assert.equal((await statusAt("c")).chassis, null, "nobody has such a device");
  await plug("b");
  await until("b has the port", async () => (await statusAt("a")).chassis === "b");
  await plug("a");
  const claims = await agreed("b", 1);
  assert.match((await statusAt("c")).detail, /^also claimed, in vain, by chassis a since /);
  await assertForwards("b", "a");

  const revisions = await Promise.all(CHASSIS.map(revisionAt));
  await sleep(QUIET_MS);
  assert.deepEqual(await Promise.all(CHASSIS.map(revisionAt)), revisions, "nobody writes anything");
  assert.equal(await agreed("b", 1), claims);

  await killForGood("b");
  const startMs = performance.now();
  await agreed("a", 2, ["a", "c"]);
  t.diagnostic(`a took over ${(performance.now() - startMs).toFixed(0)} ms after b was killed`);
  await until("the guest at a answers", async () => {
    return (await fixture.run("client", "ping", "-c1", "-W1", ADDRESS)).code === 0;
  });
  fixture.chassis("b").start();
  await fixture.chassis("b").ready();
  await agreed("a", 2);
  await assertForwards("a", "b");
  const after = await Promise.all(CHASSIS.map(revisionAt));
  await sleep(QUIET_MS);
  assert.deepEqual(await Promise.all(CHASSIS.map(revisionAt)), after, "b does not fight");

  await ip(fixture, "a", ["link delete vm"]);
  await until("b has the port again when a has not", async () => {
    const all = await Promise.all(CHASSIS.map(statusAt));
    return all.every(({ chassis, claims }) => chassis === "b" && claims.length === 1);
  });
});
