import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryBus, type MemoryTransport } from "../memory-transport.ts";
import { Refusals } from "../refusals.ts";
import { seededRandom } from "../seeded-random.ts";
import { gatewayMessages } from "../subjects.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { HEARTBEAT_MS } from "./gateway.ts";
import { Gateways } from "./gateways.ts";
import type { Group } from "./group.ts";
import { ENTRIES_MAX, encode } from "./messages.ts";
import { PROMISE_MS } from "./voices.ts";

const GROUP: Group = {
  members: [
    { chassis: "a", priority: 2, isDrained: false },
    { chassis: "b", priority: 1, isDrained: false },
  ],
  witnesses: ["w"],
};

/** Three chassis on a bus. */
class Cluster {
  readonly clock = new VirtualClock();
  readonly bus = new MemoryBus({ random: seededRandom(1), setTimer: this.clock.setTimer });
  readonly refusals = new Refusals({ now: this.clock.now });
  readonly transports = new Map<string, MemoryTransport>();
  readonly all = new Map<string, Gateways>();
  /** "CHASSIS: GATEWAY begins" or "ends", in their order. */
  readonly told: string[] = [];
  messages = 0;

  constructor(names: readonly string[]) {
    for (const [i, name] of names.entries()) this.#start(name, i + 1);
    const ear = this.bus.connect("ear");
    for (const name of names) ear.subscribe(gatewayMessages("*", name), () => this.messages++);
  }

  setGroups(groups: ReadonlyMap<string, Group>): void {
    for (const gateways of this.all.values()) {
      gateways.setGroups(groups);
      for (const name of groups.keys()) gateways.setDevice(name, true);
    }
  }

  stop(): void {
    for (const gateways of this.all.values()) gateways.stop();
  }

  #start(name: string, incarnation: number): void {
    const { now, setTimer } = this.clock;
    const transport = this.bus.connect(name);
    const active = new Set<string>();
    const gateways = new Gateways({
      ...{ self: name, incarnation, transport, now, setTimer, refusals: this.refusals },
      onLease: () => {},
      onTurn: (gateway, { isActive }) => {
        if (isActive === active.has(gateway)) return;
        if (isActive) active.add(gateway);
        else active.delete(gateway);
        this.told.push(`${name}: ${gateway} ${isActive ? "begins" : "ends"}`);
      },
    });
    this.transports.set(name, transport);
    this.all.set(name, gateways);
  }
}

test("one begins, and when it says nothing more the other one does", async () => {
  const cluster = new Cluster(["a", "b", "w"]);
  cluster.setGroups(new Map([["g", GROUP]]));
  await cluster.clock.advance(2 * PROMISE_MS);
  assert.deepEqual(cluster.told.splice(0), ["a: g begins"]);
  assert.equal(cluster.all.get("w")!.turnOf("g")!.reason, "witness");
  assert.equal(cluster.all.get("b")!.turnOf("g")!.active, "a");
  cluster.all.get("a")!.stop();
  await cluster.clock.advance(PROMISE_MS + 2 * HEARTBEAT_MS);
  assert.deepEqual(cluster.told, ["b: g begins"]);
  cluster.stop();
});

test("a gateway that is deleted, or leaves a chassis out, ends there", async () => {
  const cluster = new Cluster(["a", "b", "w"]);
  cluster.setGroups(new Map([["g", GROUP]]));
  await cluster.clock.advance(2 * PROMISE_MS);
  const [, b] = GROUP.members;
  cluster.setGroups(new Map([["g", { members: [b!], witnesses: ["w"] }]]));
  await cluster.clock.advance(HEARTBEAT_MS);
  assert.deepEqual(cluster.told.splice(0), ["a: g begins", "a: g ends", "b: g begins"]);
  cluster.setGroups(new Map());
  assert.deepEqual(cluster.told, ["b: g ends"]);
  assert.equal(cluster.all.get("b")!.turnOf("g"), undefined);
  cluster.stop();
});

test("many gateways cost no more messages than one, while one message holds them", async () => {
  const countWith = async (count: number): Promise<number> => {
    const cluster = new Cluster(["a", "b", "w"]);
    const names = Array.from({ length: count }, (_, i) => `g${i}`);
    cluster.setGroups(new Map(names.map((name) => [name, GROUP])));
    await cluster.clock.advance(3 * PROMISE_MS);
    assert.equal(cluster.told.length, count);
    cluster.messages = 0;
    await cluster.clock.advance(PROMISE_MS);
    cluster.stop();
    return cluster.messages;
  };
  const one = await countWith(1);
  const pairs = 3 * 2;
  assert.equal(one, (pairs * PROMISE_MS) / HEARTBEAT_MS);
  assert.equal(await countWith(ENTRIES_MAX), one);
  assert.equal(await countWith(ENTRIES_MAX + 1), 2 * one);
});

test("what is no heartbeat, or comes under our name, is counted", async () => {
  const cluster = new Cluster(["a", "b", "w"]);
  cluster.setGroups(new Map([["g", GROUP]]));
  await cluster.clock.advance(2 * PROMISE_MS);
  const b = cluster.transports.get("b")!;
  b.publish(gatewayMessages("b", "a"), Uint8Array.of(1, 2, 3));
  b.publish(gatewayMessages("a", "a"), encode({ incarnation: 9, seq: 9, entries: [] }));
  await cluster.clock.advance(1);
  assert.deepEqual(cluster.refusals.counts, { "gateway-malformed": 1, "gateway-namesake": 1 });
  assert.deepEqual(cluster.told, ["a: g begins"]);
  cluster.stop();
});
