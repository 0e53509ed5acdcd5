import assert from "node:assert/strict";
import { test } from "node:test";
import { HEARTBEAT_MS } from "@rhone/gossip/gateway";
import { MemoryBus } from "@rhone/gossip/memory-transport";
import { Refusals } from "@rhone/gossip/refusals";
import { VirtualClock } from "@rhone/gossip/virtual-clock";
import { DeviceFences } from "@rhone/rings/device-fences";
import { bindingName } from "@rhone/state/claim";
import { createMemoryStore } from "@rhone/state/memory-store";
import { pino } from "pino";
import type { DeviceView } from "./devices.ts";
import { GatewayPorts } from "./gateway-ports.ts";

const STARTED_MS = 1500;
const INDEX = 3;

/** Chassis a, the only member of gateway g, which port up names; its device is number 3. */
function make() {
  const clock = new VirtualClock();
  const store = createMemoryStore("a");
  const fences = new DeviceFences();
  fences.set(INDEX, Number.NEGATIVE_INFINITY);
  const done: string[] = [];
  const machine = { hasCarrier: true, phase: "up" as DeviceView["phase"] };
  const put = (...documents: object[]): void => {
    const changes = documents.map((document) => ({ op: "put" as const, document }));
    const result = store.transact(changes, "chassis");
    assert.ok(result.ok, JSON.stringify(result));
  };
  const claim = { kind: "binding", name: bindingName("up", "a"), port: "up", chassis: "a" };
  put(
    { kind: "chassis", name: "a", underlay: "192.168.0.1", workers: 1, version: "1" },
    { kind: "switch", name: "edge" },
    { kind: "gateway", name: "g", members: [{ chassis: "a" }] },
    { kind: "port", name: "up", switch: "edge", addresses: [], device: "eth1", gateway: "g" },
    { ...claim, epoch: 4, up: true, standby: true },
  );
  const ports = new GatewayPorts({
    ...{ chassis: "a", store, fences, setTimer: clock.setTimer, log: pino({ level: "silent" }) },
    devices: () => [{ port: "up", device: "eth1", index: INDEX, phase: machine.phase }],
    hasCarrier: () => machine.hasCarrier,
    announce: (index) => done.push(`announce ${index} at ${clock.now()}`),
    onTurn: () => done.push(`turn at ${clock.now()}`),
    onReason: () => {},
  });
  const bus = new MemoryBus({ random: Math.random, setTimer: clock.setTimer });
  const connect = (): void => {
    const refusals = new Refusals({ now: clock.now });
    ports.connect({ incarnation: 1, transport: bus.connect("a"), now: clock.now, refusals });
  };
  const isOpen = (): boolean => !fences.isShut(INDEX, clock.now());
  return { clock, ports, connect, machine, done, isOpen, put, claim };
}

test("a member begins, opens the fence and tells the outside three times", async () => {
  const { clock, ports, connect, done, isOpen } = make();
  assert.equal(ports.turnAt("g").text, "the chassis starts");
  await clock.advance(STARTED_MS);
  assert.equal(isOpen(), false, "nobody was asked");
  connect();
  await clock.advance(STARTED_MS);
  assert.ok(isOpen());
  assert.deepEqual(ports.turnAt("g"), { isActive: true, epoch: 5, text: "" });
  const startMs = Number(/\d+$/.exec(done[0]!)![0]);
  const times = [0, 100, 500].map((ms) => `announce 3 at ${startMs + ms}`);
  await clock.advance(STARTED_MS);
  assert.deepEqual(done, [`turn at ${startMs}`, ...times]);
  assert.ok(isOpen(), "the lease is renewed");
});

test("without a carrier, or a device, it stops, and goes on when that is back", async () => {
  const { clock, connect, machine, isOpen, done } = make();
  connect();
  await clock.advance(2 * STARTED_MS);
  machine.hasCarrier = false;
  await clock.advance(HEARTBEAT_MS);
  assert.equal(isOpen(), false);
  assert.match(done.at(-1)!, /^turn/);
  machine.hasCarrier = true;
  await clock.advance(2 * HEARTBEAT_MS);
  assert.ok(isOpen());
  machine.phase = "refused";
  await clock.advance(HEARTBEAT_MS);
  assert.equal(isOpen(), false);
});

test("the epoch is above that of whoever claims the port", async () => {
  const { clock, connect, ports, put, claim } = make();
  connect();
  await clock.advance(2 * STARTED_MS);
  put(
    { kind: "chassis", name: "b", underlay: "192.168.0.2", workers: 1, version: "1" },
    { ...claim, name: bindingName("up", "b"), chassis: "b", epoch: 9, up: true },
  );
  await clock.advance(2 * HEARTBEAT_MS);
  assert.ok(ports.turnAt("g").epoch > 9);
});

test("a chassis that ends has stopped before", async () => {
  const { clock, connect, ports, isOpen, done } = make();
  connect();
  await clock.advance(2 * STARTED_MS);
  const left = ports.leave();
  assert.equal(isOpen(), false);
  await clock.advance(STARTED_MS);
  await left;
  const count = done.length;
  await clock.advance(STARTED_MS);
  assert.equal(done.length, count);
  assert.equal(isOpen(), false);
});
