/**
 * Workers that are nothing but their hand-over: real rings, real status words, packets that are
 * numbers. One thread gives them turns in any order, and checks what must never happen.
 */
import assert from "node:assert/strict";
import { BUCKET_COUNT, HELD, NOBODY } from "@rhone/rings/buckets";
import { RingConsumer, RingProducer, ringWords } from "@rhone/rings/ring";
import { WORKER_STATUS_SIZE, WorkerStatus } from "@rhone/rings/worker-status";
import type { Allotment } from "../src/allotment.ts";
import { HandOver } from "../src/bucket-hand-over.ts";

export const DEVICES = 6;
export const SOCKETS = 4;
const FLOWS = 24;
const RING_CAPACITY = 4096;
/** Turns that the longest backlog may take: one worker may have all that was ever sent. */
const BACKLOG_TURNS = 5000;
const LAST_TURNS = 200;

interface Packet {
  readonly flow: number;
  readonly sequence: number;
  /** Whether its owner has seen it: then it only wants to leave. */
  isDone: boolean;
}

interface Flow {
  readonly bucket: number;
  /** A device, or behind them a socket. */
  readonly from: number;
  readonly to: number;
  sent: number;
  atOwner: number;
  arrived: number;
}

export type Random = (below: number) => number;

/** A generator of numbers that a seed makes the same each time (mulberry32). */
export function randomOf(seed: number): Random {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export class World {
  readonly random: Random;
  readonly statuses: WorkerStatus[];
  readonly rings: Int32Array[][];
  readonly packets: Packet[] = [];
  readonly flows: Flow[];
  /** What waits in the kernel: of each device and each socket. */
  readonly queues: number[][] = Array.from({ length: DEVICES + SOCKETS }, () => []);
  /** Ports on their way to a worker. */
  readonly travelling: { readonly device: number; readonly from: number }[] = [];
  readonly workers: (Worker | null)[];
  allotment: Allotment;
  lost = 0;

  constructor(random: Random, count: number, allotment: Allotment) {
    const numbers = Array.from({ length: count }, (_, i) => i);
    this.random = random;
    this.allotment = allotment;
    this.statuses = numbers.map(() => new WorkerStatus(new SharedArrayBuffer(WORKER_STATUS_SIZE)));
    const ring = () => new Int32Array(new SharedArrayBuffer(ringWords(RING_CAPACITY) * 4));
    this.rings = numbers.map(() => numbers.map(ring));
    this.flows = Array.from({ length: FLOWS }, () => ({
      bucket: random(BUCKET_COUNT),
      from: random(DEVICES + SOCKETS),
      to: random(DEVICES),
      ...{ sent: 0, atOwner: 0, arrived: 0 },
    }));
    this.workers = numbers.map((number) =>
      allotment.workers.includes(number) ? new Worker(this, number) : null,
    );
  }

  start(number: number): void {
    this.workers[number] = new Worker(this, number);
  }

  get running(): Worker[] {
    return this.workers.filter((worker) => worker !== null);
  }

  get isSettled(): boolean {
    const { edition, workers } = this.allotment;
    return workers.every(
      (worker) => this.workers[worker] === null || this.statuses[worker]!.settled() === edition,
    );
  }

  publish(allotment: Allotment): void {
    this.allotment = allotment;
    for (const worker of this.running) worker.mail.push(() => worker.handOver.adopt(allotment));
  }

  /** A packet of a flow comes into the kernel. */
  send(): void {
    const flow = this.random(FLOWS);
    const { from } = this.flows[flow]!;
    this.packets.push({ flow, sequence: this.flows[flow]!.sent++, isDone: false });
    this.queues[from]!.push(this.packets.length - 1);
  }

  /** A port that travels arrives. */
  deliverPort(): void {
    this.#deliver(this.random(this.travelling.length || 1));
  }

  #deliver(index: number): void {
    const [arrived] = this.travelling.splice(index, 1);
    if (arrived === undefined) return;
    const { device } = arrived;
    const worker = this.workers[this.allotment.devices[device]!];
    worker?.mail.push(() => {
      worker.ports.add(device);
      worker.handOver.portArrived(device);
    });
  }

  /**
   * Tells the others that a worker is no more, and that they have what it had sent them; the ports
   * that it had sent on their way come first.
   */
  forget(dead: number): void {
    for (let i = this.travelling.length - 1; i >= 0; i--) {
      if (this.travelling[i]!.from === dead) this.#deliver(i);
    }
    for (const worker of this.running) worker.mail.push(() => worker.handOver.forget(dead));
  }

  /** Whether the others have taken what it had sent them. */
  hasEmptied(dead: number): boolean {
    return this.running.every(({ number }) =>
      new RingConsumer(this.rings[dead]![number]!).isEmpty(),
    );
  }

  checkOwners(): void {
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
      const owners = this.running.filter(({ owners, number }) => owners[bucket] === number);
      assert.ok(owners.length <= 1, `bucket ${bucket} has ${owners.length} owners`);
    }
  }

  touch(packet: Packet, worker: number): void {
    const flow = this.flows[packet.flow]!;
    assert.ok(packet.sequence >= flow.atOwner, `flow ${packet.flow} is reordered at ${worker}`);
    flow.atOwner = packet.sequence + 1;
    packet.isDone = true;
  }

  leave(packet: Packet): void {
    const flow = this.flows[packet.flow]!;
    assert.ok(packet.sequence >= flow.arrived, `flow ${packet.flow} is reordered on its way out`);
    this.lost += packet.sequence - flow.arrived;
    flow.arrived = packet.sequence + 1;
  }

  /** Runs until nothing waits in the kernel, and then until nothing moves any more. */
  rest(): void {
    for (let i = 0; i < BACKLOG_TURNS && !this.isDrained; i++) this.#turnAll();
    for (let i = 0; i < LAST_TURNS; i++) this.#turnAll();
  }

  get isDrained(): boolean {
    return this.queues.every((queue) => queue.length === 0);
  }

  #turnAll(): void {
    this.deliverPort();
    for (const worker of this.running) worker.turn();
  }
}

export class Worker {
  readonly number: number;
  readonly owners = new Uint8Array(BUCKET_COUNT).fill(NOBODY);
  readonly devices = new Uint8Array(DEVICES).fill(NOBODY);
  readonly sockets = new Uint8Array(SOCKETS).fill(NOBODY);
  readonly handOver: HandOver;
  readonly mail: (() => void)[] = [];
  readonly ports = new Set<number>();
  readonly #world: World;
  readonly #reading = new Set<number>();
  readonly #leftovers: number[] = [];
  readonly #detached: number[] = [];
  readonly #incoming: RingConsumer[];
  readonly #outgoing: RingProducer[];
  readonly #held: RingConsumer;
  readonly #leaving: [number, number][] = [];
  readonly #slots = new Int32Array(RING_CAPACITY);

  constructor(world: World, number: number) {
    this.#world = world;
    this.number = number;
    const others = world.rings.map((_, from) => from).filter((from) => from !== number);
    this.#incoming = others.map((from) => new RingConsumer(world.rings[from]![number]!));
    this.#held = new RingConsumer(world.rings[number]![number]!);
    this.#outgoing = world.rings[number]!.map((ring) => new RingProducer(ring));
    this.handOver = new HandOver({
      worker: number,
      ...{ owners: this.owners, devices: this.devices, sockets: this.sockets },
      statuses: world.statuses,
      incoming: this.#incoming,
      outgoing: this.#outgoing.map((ring, to) => (to === number ? null : ring)),
      luggage: {
        inheritBucket: () => {},
        stopSocket: (socket) => this.#reading.delete(socket),
        hasLeftovers: () => this.#leftovers.length > 0,
        startSocket: (socket) => this.#reading.add(socket),
        detachPort: (device) => {
          this.ports.delete(device);
          this.#detached.push(device);
        },
        closePort: () => assert.fail("no device is ever nobody's here"),
        passPortsOn: () => {
          for (const device of this.#detached.splice(0)) {
            world.travelling.push({ device, from: number });
          }
        },
      },
    });
    this.handOver.adopt(world.allotment);
  }

  turn(): void {
    const { random, queues, packets } = this.#world;
    for (const read of this.mail.splice(0)) read();
    this.#world.checkOwners();
    if (this.handOver.step()) {
      const held = [...this.#slots.subarray(0, this.#held.pop(this.#slots, RING_CAPACITY))];
      // What the owner before has seen comes before what is still to be seen.
      for (const slot of held) if (packets[slot]!.isDone) this.#handle(slot);
      this.#flush();
      for (const slot of held) if (!packets[slot]!.isDone) this.#handle(slot);
      this.#flush();
    }
    for (const ring of this.#incoming) {
      const count = ring.pop(this.#slots, random(8));
      for (let i = 0; i < count; i++) this.#handle(this.#slots[i]!);
    }
    for (const device of this.ports) {
      for (const slot of queues[device]!.splice(0, random(4))) this.#handle(slot);
    }
    for (const slot of this.#leftovers.splice(0, random(4))) this.#handle(slot);
    for (const socket of this.#reading) {
      if (this.#leftovers.length > 0) break;
      this.#leftovers.push(...queues[DEVICES + socket]!.splice(0, random(6)));
    }
    this.#flush();
  }

  #handle(slot: number): void {
    const packet = this.#world.packets[slot]!;
    const { bucket, to } = this.#world.flows[packet.flow]!;
    if (!packet.isDone) {
      if (this.owners[bucket] !== this.number) {
        this.#leaving.push([this.owners[bucket]!, slot]);
        return;
      }
      this.#world.touch(packet, this.number);
    }
    if (this.devices[to] !== this.number) this.#leaving.push([this.devices[to]!, slot]);
    else if (this.ports.has(to)) this.#world.leave(packet);
    else this.#world.lost++;
  }

  #flush(): void {
    for (const [owner, slot] of this.#leaving.splice(0)) {
      const to = owner === HELD ? this.number : owner;
      this.#slots[0] = slot;
      assert.equal(this.#outgoing[to]!.push(this.#slots, 0, 1), 1, "a ring is full");
    }
  }
}
