import assert from "node:assert/strict";
import { test } from "node:test";
import { assign, BUCKET_COUNT, NOBODY } from "@rhone/rings/buckets";
import { RingConsumer, RingProducer, ringWords } from "@rhone/rings/ring";
import { WORKER_STATUS_SIZE, WorkerStatus } from "@rhone/rings/worker-status";
import fc from "fast-check";
import { DEVICES, type Random, randomOf, SOCKETS, World } from "../test/hand-over-world.ts";
import type { Allotment } from "./allotment.ts";
import { HandOver } from "./bucket-hand-over.ts";

const WORKERS = 4;
const STEPS = 3000;

function allotmentOf(edition: number, workers: number[], before?: Allotment): Allotment {
  const nobody = (length: number) => new Uint8Array(length).fill(NOBODY);
  return {
    edition,
    workers,
    owners: assign(before?.owners ?? nobody(BUCKET_COUNT), workers),
    devices: assign(before?.devices ?? nobody(DEVICES), workers),
    sockets: assign(before?.sockets ?? nobody(SOCKETS), workers),
  };
}

function someWorkers(random: Random): number[] {
  const some = Array.from({ length: WORKERS }, (_, i) => i).filter(() => random(2) === 0);
  return some.length > 0 ? some : [random(WORKERS)];
}

function makeWorld(random: Random): World {
  const world = new World(random, WORKERS, allotmentOf(1, [0, 1]));
  for (const worker of world.running) {
    for (let device = 0; device < DEVICES; device++) {
      if (worker.devices[device] === worker.number) worker.ports.add(device);
    }
  }
  return world;
}

/** Another set of workers: who comes runs before, who goes takes part once more. */
function rescale(world: World): void {
  const { allotment, random } = world;
  for (const { number, owners } of world.running) {
    if (!owners.includes(number)) world.workers[number] = null;
  }
  const keep = someWorkers(random);
  for (const number of keep) if (world.workers[number] === null) world.start(number);
  const next = allotmentOf(allotment.edition + 1, keep, allotment);
  world.publish({ ...next, workers: world.running.map(({ number }) => number) });
}

test("whatever the order of turns, nothing is lost, overtakes or has two owners", () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = randomOf(seed);
      const world = makeWorld(random);
      let moves = 0;
      for (let step = 0; step < STEPS; step++) {
        if (random(3) > 0) world.send();
        if (world.isSettled && random(20) === 0) {
          rescale(world);
          moves++;
        }
        if (random(5) === 0) world.deliverPort();
        const { running } = world;
        running[random(running.length)]!.turn();
      }
      world.rest();
      assert.ok(moves > 3, `${moves} moves`);
      assert.ok(world.isSettled && world.isDrained);
      assert.equal(world.lost, 0);
      for (const { sent, arrived } of world.flows) assert.equal(arrived, sent);
    }),
    { numRuns: 25 },
  );
});

test("a worker that dies in the middle keeps nobody waiting, and nothing overtakes", () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(STEPS / 2), (seed, diesAt) => {
      const random = randomOf(seed);
      const world = makeWorld(random);
      let dead = -1;
      let isForgotten = false;
      let isInherited = false;
      for (let step = 0; step < STEPS; step++) {
        if (random(3) > 0) world.send();
        if (dead < 0 && world.isSettled && random(20) === 0) rescale(world);
        if (dead < 0 && step >= diesAt && world.running.length > 1) {
          dead = world.running[random(world.running.length)]!.number;
          world.workers[dead] = null;
        }
        if (dead >= 0 && !isForgotten && world.hasEmptied(dead)) {
          world.forget(dead);
          isForgotten = true;
        }
        if (isForgotten && !isInherited && world.isSettled) {
          const left = world.running.map(({ number }) => number);
          world.publish(allotmentOf(world.allotment.edition + 1, left, world.allotment));
          isInherited = true;
        }
        if (random(5) === 0) world.deliverPort();
        const { running } = world;
        running[random(running.length)]!.turn();
      }
      world.rest();
      assert.ok(world.isSettled, "somebody still waits");
      assert.ok(dead < 0 || isInherited);
    }),
    { numRuns: 25 },
  );
});

test("refuses an allotment before it has settled the one in force", () => {
  const statuses = [0, 1].map(() => new WorkerStatus(new SharedArrayBuffer(WORKER_STATUS_SIZE)));
  const ring = new Int32Array(new SharedArrayBuffer(ringWords(16) * 4));
  const nobody = (length: number) => new Uint8Array(length).fill(NOBODY);
  const handOver = new HandOver({
    worker: 0,
    ...{ owners: nobody(BUCKET_COUNT), devices: nobody(DEVICES), sockets: nobody(SOCKETS) },
    ...{ statuses, incoming: [new RingConsumer(ring)], outgoing: [null, new RingProducer(ring)] },
    luggage: {
      inheritBucket: () => {},
      stopSocket: () => {},
      hasLeftovers: () => false,
      startSocket: () => {},
      detachPort: () => {},
      closePort: () => {},
      passPortsOn: () => {},
    },
  });
  const first = allotmentOf(1, [0]);
  handOver.adopt(first);
  assert.ok(!handOver.isBusy);
  handOver.adopt(allotmentOf(2, [0, 1], first));
  assert.ok(handOver.isBusy);
  assert.throws(() => handOver.adopt(allotmentOf(3, [0])), /expected allotment 2 to be settled/);
});
