import assert from "node:assert/strict";
import { test } from "node:test";
import { MESSAGE_SIZE_MAX } from "./messages.ts";
import { Simulation } from "./simulation.ts";
import { PROBE_INTERVAL_MS, suspicionMs } from "./state.ts";

const LIMIT = { timeout: 120_000 };
/** Members, and seeds to try with so many. */
const SIZES = [
  { count: 3, seeds: 60 },
  { count: 5, seeds: 60 },
  { count: 10, seeds: 40 },
  { count: 30, seeds: 20 },
  { count: 100, seeds: 2 },
  { count: 200, seeds: 1 },
];
const SETTLE_MS = 5000;
const QUIET_MS = 30_000;
const STEP_MS = 20;
/** Until somebody asks the dead one, until it is suspect, and until everybody has heard. */
const FIRST_PROBES = 5;
const SPREAD_MS = 1000;

/** The time in which everybody has to know of a crash: as if nobody confirmed the suspicion. */
function detectionMaxMs(count: number): number {
  return (FIRST_PROBES + 1) * PROBE_INTERVAL_MS + suspicionMs(count, 1) + SPREAD_MS;
}

/** Virtual milliseconds until it is so. */
function until(simulation: Simulation, limitMs: number, isSo: () => boolean): number {
  const { nowMs } = simulation;
  while (!isSo()) {
    const tookMs = simulation.nowMs - nowMs;
    assert.ok(tookMs < limitMs, `not within ${limitMs} ms`);
    simulation.run(STEP_MS);
  }
  return simulation.nowMs - nowMs;
}

function allAlive(simulation: Simulation): boolean {
  return simulation.names.every((name) => simulation.agree(name, "alive"));
}

for (const { count, seeds } of SIZES) {
  test(`of ${count}, every crash is found in time and nobody else, with 10 % loss`, LIMIT, (t) => {
    const took: number[] = [];
    let perSecond = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const simulation = new Simulation({ seed, count, loss: 0.1 });
      simulation.run(QUIET_MS);
      perSecond += simulation.sentSize / (QUIET_MS / 1000) / count / seeds;
      const crashed = `c${seed % count}`;
      simulation.crash(crashed);
      const found = (): boolean => simulation.agree(crashed, "dead");
      took.push(until(simulation, detectionMaxMs(count), found));
      simulation.run(SETTLE_MS);
      const dead = simulation.changes.filter(({ status }) => status === "dead");
      const wrong = dead.filter(({ name }) => name !== crashed);
      assert.deepEqual(wrong, [], `seed ${seed}: no false alarm`);
      assert.equal(dead.length, count - 1, `seed ${seed}: found once by each`);
      assert.ok(simulation.sizeMax <= MESSAGE_SIZE_MAX);
    }
    took.sort((a, b) => a - b);
    const [half, last] = [took[took.length >> 1], took.at(-1)];
    const bytes = `${perSecond.toFixed(0)} bytes a second and member`;
    t.diagnostic(`${seeds} seeds: found in ${half} ms (half of them), ${last} ms (all); ${bytes}`);
  });
}

test("of two, a crash is found, and one that was cut off comes back", LIMIT, () => {
  for (let seed = 1; seed <= 20; seed++) {
    const simulation = new Simulation({ seed, count: 2 });
    simulation.run(SETTLE_MS);
    for (const [from, to] of [
      ["c0", "c1"],
      ["c1", "c0"],
    ] as const)
      simulation.cut(from, to);
    const limitMs = 5000; // Nobody can be asked, so that each doubts itself first.
    until(
      simulation,
      limitMs,
      () => simulation.agree("c0", "dead") && simulation.agree("c1", "dead"),
    );
    simulation.heal();
    until(simulation, 30_000, () => allAlive(simulation));
  }
});

test("a cut one way is gone round, and nobody is taken for dead", LIMIT, () => {
  for (const count of [3, 10, 50]) {
    for (let seed = 1; seed <= 10; seed++) {
      const simulation = new Simulation({ seed, count, loss: 0.02 });
      simulation.run(SETTLE_MS);
      simulation.cut("c0", "c1");
      simulation.run(60_000);
      simulation.heal();
      simulation.run(SETTLE_MS);
      const dead = simulation.changes.filter(({ status }) => status === "dead");
      assert.deepEqual(dead, [], `${count} members, seed ${seed}`);
    }
  }
});

test("who was stalled accuses nobody, and lives again for all", LIMIT, () => {
  for (const count of [3, 10, 30]) {
    for (let seed = 1; seed <= 10; seed++) {
      const simulation = new Simulation({ seed, count, loss: 0.02 });
      simulation.run(SETTLE_MS);
      simulation.stall("c0", 10_000);
      until(simulation, 10_000, () => {
        return simulation.names.slice(1).every((by) => simulation.statusOf(by, "c0") === "dead");
      });
      simulation.run(10_000);
      until(simulation, 10_000, () => allAlive(simulation));
      simulation.run(SETTLE_MS);
      const wrong = simulation.changes.filter(
        ({ status, name }) => status === "dead" && name !== "c0",
      );
      assert.deepEqual(wrong, [], `${count} members, seed ${seed}`);
    }
  }
});

test("a short stall of one is no death at all", LIMIT, () => {
  for (let seed = 1; seed <= 20; seed++) {
    const simulation = new Simulation({ seed, count: 10 });
    simulation.run(SETTLE_MS);
    for (let round = 0; round < 10; round++) {
      simulation.stall(`c${round}`, 800);
      simulation.run(3000);
    }
    assert.deepEqual(
      simulation.changes.filter(({ status }) => status === "dead"),
      [],
    );
  }
});

test("a partition makes the other side dead, and heals by itself", LIMIT, () => {
  for (let seed = 1; seed <= 10; seed++) {
    const simulation = new Simulation({ seed, count: 20 });
    const [left, right] = [simulation.names.slice(0, 10), simulation.names.slice(10)];
    simulation.run(SETTLE_MS);
    for (const a of left) {
      for (const b of right) {
        simulation.cut(a, b);
        simulation.cut(b, a);
      }
    }
    simulation.run(30_000);
    for (const a of left) for (const b of right) assert.equal(simulation.statusOf(a, b), "dead");
    for (const a of left) for (const b of left) assert.notEqual(simulation.statusOf(a, b), "dead");
    simulation.heal();
    until(simulation, 20_000, () => allAlive(simulation));
  }
});

test("who starts again is alive at once, whatever was said about it", LIMIT, () => {
  for (let seed = 1; seed <= 20; seed++) {
    const simulation = new Simulation({ seed, count: 7, loss: 0.05 });
    simulation.run(SETTLE_MS);
    simulation.crash("c3");
    until(simulation, detectionMaxMs(7), () => simulation.agree("c3", "dead"));
    simulation.restart("c3");
    until(simulation, 3000, () => allAlive(simulation));
  }
});

test("a seed replays exactly, and another one does not", LIMIT, () => {
  const play = (seed: number): string => {
    const simulation = new Simulation({ seed, count: 12, loss: 0.1 });
    simulation.run(10_000);
    simulation.stall("c2", 3000);
    simulation.cut("c1", "c4");
    simulation.crash("c5");
    simulation.run(10_000);
    return simulation.digest;
  };
  assert.equal(play(1), play(1));
  assert.notEqual(play(1), play(2));
});
