import assert from "node:assert/strict";
import { test } from "node:test";
import { HEARTBEAT_MS, LEASE_MS } from "./gateway.ts";
import type { Heartbeat } from "./messages.ts";
import { GatewaySimulation } from "./simulation.ts";
import { PROMISE_MS } from "./voices.ts";

const LIMIT = { timeout: 120_000 };
const SEEDS = 30;
const STORM_MS = 20_000;
/** A member that asked in vain rests, links are dialed anew, and leases run out. */
const CALM_MS = 12_000;
const SETTLE_MS = 4000;

/** One seed: a start, a storm, and a calm. */
async function play(simulation: GatewaySimulation): Promise<void> {
  await simulation.run(SETTLE_MS);
  simulation.storm();
  await simulation.run(STORM_MS);
  if (simulation.violation !== null) return;
  simulation.calm();
  await simulation.run(CALM_MS);
}

test(`in ${SEEDS} storms never two forward, and one does when they are over`, LIMIT, async (t) => {
  let turnOvers = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const simulation = new GatewaySimulation({ seed, machineCount: 3 + (seed % 5) });
    await play(simulation);
    assert.equal(simulation.violation, null, `seed ${seed}`);
    for (const gateway of simulation.groups.keys()) {
      assert.equal(simulation.forwarders(gateway).length, 1, `seed ${seed}: ${gateway}`);
      const epochs = simulation.turnOvers.filter((t) => t.gateway === gateway);
      const sorted = epochs.map(({ epoch }) => epoch);
      assert.deepEqual(
        sorted,
        [...new Set(sorted)].sort((a, b) => a - b),
        `seed ${seed}`,
      );
    }
    turnOvers += simulation.turnOvers.length;
  }
  t.diagnostic(`${turnOvers} leases begun`);
});

test(
  "the one that forwards dies: another does within a promise and two heartbeats",
  LIMIT,
  async (t) => {
    const took: number[] = [];
    for (let seed = 1; seed <= 20; seed++) {
      const simulation = new GatewaySimulation({ seed, machineCount: 3 + (seed % 5) });
      await simulation.run(SETTLE_MS);
      const [gateway, group] = [...simulation.groups][0]!;
      const [active] = simulation.forwarders(gateway);
      assert.ok(active !== undefined, `seed ${seed}: somebody forwards`);
      await simulation.run(simulation.world.between(0, HEARTBEAT_MS));
      const killedMs = simulation.world.nowMs;
      simulation.kill(simulation.machines.find(({ name }) => name === active)!);
      await simulation.run(PROMISE_MS * 1.01 + 2 * HEARTBEAT_MS);
      assert.equal(simulation.violation, null);
      const [next] = simulation.forwarders(gateway);
      const others = group.members.filter(({ chassis }) => chassis !== active);
      assert.ok(
        others.some(({ chassis }) => chassis === next),
        `seed ${seed}: got ${next}`,
      );
      took.push(simulation.turnOvers.findLast((t) => t.gateway === gateway)!.atMs - killedMs);
    }
    took.sort((a, b) => a - b);
    const [half, last] = [took[took.length >> 1]!, took.at(-1)!];
    t.diagnostic(`taken over after ${half.toFixed(0)} ms (half), ${last.toFixed(0)} ms (all)`);
  },
);

test("a drained member hands over within a heartbeat, and stays where it is", LIMIT, async (t) => {
  let longestMs = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const simulation = new GatewaySimulation({ seed, machineCount: 3 + (seed % 5) });
    await simulation.run(SETTLE_MS);
    const [gateway, group] = [...simulation.groups][0]!;
    const [active] = simulation.forwarders(gateway);
    const members = group.members.map((member) => {
      return member.chassis === active ? { ...member, isDrained: true } : member;
    });
    simulation.change(gateway, { ...group, members }, 0);
    const stepMs = 1;
    let silentMs = 0;
    for (let ms = 0; ms < 1000; ms += stepMs) {
      await simulation.run(stepMs);
      if (simulation.forwarders(gateway).length === 0) silentMs += stepMs;
    }
    assert.equal(simulation.violation, null);
    const [next] = simulation.forwarders(gateway);
    assert.ok(next !== undefined && next !== active, `seed ${seed}`);
    assert.ok(silentMs <= HEARTBEAT_MS, `seed ${seed}: nobody for ${silentMs} ms`);
    longestMs = Math.max(longestMs, silentMs);
  }
  t.diagnostic(`nobody forwarded for ${longestMs} ms at most`);
});

test("who comes back waits while another one forwards, flapping or not", LIMIT, async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const simulation = new GatewaySimulation({ seed, machineCount: 3 + (seed % 5) });
    const [gateway, group] = [...simulation.groups][0]!;
    const members = group.members.map((member) => ({ ...member, priority: 7 }));
    simulation.groups.set(gateway, { ...group, members });
    await simulation.run(SETTLE_MS);
    const [first] = simulation.forwarders(gateway);
    const machine = simulation.machines.find(({ name }) => name === first)!;
    simulation.kill(machine);
    await simulation.run(2 * PROMISE_MS);
    const [second] = simulation.forwarders(gateway);
    for (let round = 0; round < 5; round++) {
      simulation.start(machine);
      await simulation.run(3 * PROMISE_MS);
      assert.deepEqual(simulation.forwarders(gateway), [second], `seed ${seed}`);
      simulation.kill(machine);
      await simulation.run(PROMISE_MS / 2);
    }
    assert.equal(simulation.turnOvers.filter((t) => t.gateway === gateway).length, 2);
  }
});

/** As if it were enough to be heard. */
function takeForGranted(heard: Heartbeat, name: string, sent: Heartbeat): Heartbeat {
  const entries = heard.entries.map((entry) => {
    const own = sent.entries.find(({ gateway }) => gateway === entry.gateway);
    if (own === undefined) return entry;
    const { incarnation, seq } = sent;
    return { ...entry, grant: { to: name, incarnation, seq, epoch: own.epoch } };
  });
  return { ...heard, entries };
}

test("that it is not enough to be heard by a majority is found out", LIMIT, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const options = { seed, machineCount: 3 + (seed % 5), misread: takeForGranted };
    const simulation = new GatewaySimulation(options);
    await play(simulation);
    if (simulation.violation !== null) return;
  }
  assert.fail("expected two that forward in some storm");
});

test("clocks whose rates differ by far more than is allowed are found out", LIMIT, async () => {
  const driftMax = (PROMISE_MS - LEASE_MS) / LEASE_MS;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const options = { seed, machineCount: 3 + (seed % 5), driftMax: driftMax * 2 };
    const simulation = new GatewaySimulation(options);
    await play(simulation);
    if (simulation.violation !== null) return;
  }
  assert.fail("expected two that forward in some storm");
});
