/**
 * Several chassis with several workers each, in one process and one thread: the product's compile,
 * tables, stages, rings, hand-off and departures, over ports and an underlay without a kernel. A
 * seeded scheduler says who runs next, so every run can be repeated.
 */
import { compile } from "@rhone/chassis/compile";
import { CLUSTER_KEY_SIZE, StampKeys } from "@rhone/chassis/stamp-keys";
import { ORPHAN_MS } from "@rhone/dataplane-worker/orphan-fragments";
import type { Port, PortContext } from "@rhone/netio/port";
import type { Core } from "@rhone/pipeline-stages/core";
import { BUCKET_COUNT, NOBODY } from "@rhone/rings/buckets";
import { DEVICES_MAX } from "@rhone/rings/counters";
import { DROP_REASON_COUNT, dropReasonName } from "@rhone/rings/drop-reason";
import { RingConsumer, RingProducer, ringWords } from "@rhone/rings/ring";
import { SlotAllocator } from "@rhone/rings/slot-allocator";
import { STAGE_COUNT } from "@rhone/rings/stage";
import { WORKER_STATUS_SIZE, WorkerStatus } from "@rhone/rings/worker-status";
import type { State } from "@rhone/state/state";
import { type Connection, listConnections } from "@rhone/tables/connection-list";
import { installedConnections } from "@rhone/tables/connection-memory";
import * as connections from "@rhone/tables/connections";
import { Fragments } from "@rhone/tables/fragments";
import { type Generation, Tables } from "@rhone/tables/generation";
import { numbersOf } from "@rhone/tables/moved-connections";
import { LOCATED_HERE } from "@rhone/tables/ports";
import { formatMac } from "@rhone/wire/address";
import { Moves } from "./moves.ts";
import { Random } from "./random.ts";
import type { VirtualPort } from "./virtual-port.ts";
import { VirtualUnderlay } from "./virtual-underlay.ts";
import { VirtualWorker } from "./virtual-worker.ts";

const SLOTS_PER_WORKER = { smallCount: 256, largeCount: 2 };
const RETURN_CAPACITY = 512; // Holds every slot of a worker.
const RING_CAPACITY = 256;
/** Buckets move now and then, in the first rounds of a run. */
const MOVING_ROUNDS = 20;
const MOVE_ONCE_IN = 4;
/** Rounds of the scheduler after which something must be going in circles. */
const ROUNDS_MAX = 10_000;

const stampKeys = new StampKeys(new Uint8Array(CLUSTER_KEY_SIZE).fill(7));

/**
 * One clock for all clusters of the thread, which share its table of connections as well: before
 * each of them more time passes than a connection lives, and everything in it has run out.
 */
let clockMs = 1;
const LONGEST_TIMEOUT_MS = 86_400_000;
const SWEPT_MAX = 65_536; // Entries of a bucket.

export interface ClusterOptions {
  readonly seed: number;
  readonly tunnelMtu: number;
  /** Workers of each chassis, by its name. */
  readonly workers: ReadonlyMap<string, number>;
  /** Ports whose device is open, and the worker that has it, by the port's name. */
  readonly devices: ReadonlyMap<string, number>;
  /** Whether buckets of flows move between workers all the time. */
  readonly hasMoves?: boolean;
  /** Whether stamps have no tag, so that a test can make some up. */
  readonly hasNoKey?: boolean;
  /** Packets that wait between two workers, a power of two. */
  readonly ringCapacity?: number;
}

export interface Sent {
  readonly port: string;
  readonly bytes: Uint8Array;
}

/** What the workers of a chassis counted together. */
export interface Counts {
  readonly packets: readonly number[];
  readonly drops: readonly number[];
  readonly reasons: ReadonlyMap<string, number>;
}

export class VirtualCluster {
  readonly underlay: VirtualUnderlay;
  readonly #options: ClusterOptions;
  readonly #random: Random;
  readonly #allocators: readonly SlotAllocator[];
  readonly #chassis = new Map<string, readonly VirtualWorker[]>();
  readonly #ports = new Map<string, VirtualPort>();
  readonly #places = new Map<string, { chassis: string; index: number; worker: number }>();
  readonly #zones: ReadonlyMap<string, string>;
  readonly #moves: Moves[] = [];
  #edition = 0;
  #epoch = 1;

  constructor(state: State, options: ClusterOptions) {
    clockMs += LONGEST_TIMEOUT_MS + 1;
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++)
      connections.sweep(bucket, SWEPT_MAX, clockMs);
    const addresses = new Map(state.chassis.map(({ name, value }) => [name, value.underlay]));
    this.#options = options;
    this.#random = new Random(options.seed);
    this.underlay = new VirtualUnderlay(addresses, this.#random, options.seed);
    const counts = state.chassis.map(({ name }) => options.workers.get(name) ?? 1);
    this.#allocators = makeAllocators(counts.reduce((sum, count) => sum + count, 0));
    let first = 0;
    for (const [i, { name }] of state.chassis.entries()) {
      this.#chassis.set(name, this.#start(state, name, counts[i]!, first));
      first += counts[i]!;
    }
    this.#zones = zonesOf(state, new Tables(this.#compile(state, state.chassis[0]!.name), 0));
    for (const { name, value } of state.ports) {
      if (!options.devices.has(name)) continue;
      const chassis = value.chassis!;
      const { index, worker } = this.#devicesOf(state, chassis).get(name)!;
      this.#places.set(name, { chassis, index, worker });
      this.#ports.set(name, this.workersOf(chassis)[worker]!.openPort(index));
    }
  }

  #start(state: State, chassis: string, count: number, first: number): VirtualWorker[] {
    const numbers = Array.from({ length: count }, (_, i) => i);
    const { ringCapacity = RING_CAPACITY } = this.#options;
    const rings = numbers.map(() => numbers.map(() => ringMemory(ringCapacity)));
    const owners = Uint8Array.from({ length: BUCKET_COUNT }, () => this.#random.below(count));
    const tables = this.#compile(state, chassis);
    const edition = ++this.#edition;
    const devices = new Uint8Array(DEVICES_MAX).fill(NOBODY);
    for (const { index, worker } of this.#devicesOf(state, chassis).values()) {
      devices[index] = worker;
    }
    const allotment = { edition: 1, workers: numbers, owners, devices, sockets: new Uint8Array(0) };
    const statuses = numbers.map(() => new WorkerStatus(new SharedArrayBuffer(WORKER_STATUS_SIZE)));
    const fragments = new Fragments();
    const workers = numbers.map(
      (worker) =>
        new VirtualWorker({
          ...{ chassis, worker, rings, allotment, statuses, tables, edition },
          allocator: this.#allocators[first + worker]!,
          underlay: this.underlay,
          ...{ random: this.#random, fragments },
        }),
    );
    this.#moves.push(new Moves(workers, statuses, this.#random, allotment));
    return workers;
  }

  #compile(state: State, chassis: string): Generation {
    const devices = this.#devicesOf(state, chassis);
    const { tunnelMtu, hasNoKey } = this.#options;
    const keys = hasNoKey === true ? null : { made: stampKeys, epoch: this.#epoch };
    const ruleCounters = new Map(state.acls.map(({ name }, index) => [name, index]));
    const count = this.#options.workers.get(chassis) ?? 1;
    const workers = Array.from({ length: count }, (_, worker) => worker);
    return compile(state, { name: chassis, tunnelMtu, devices, keys, workers, ruleCounters });
  }

  /** Devices are numbered by the place of their port in the state. */
  #devicesOf(state: State, chassis: string): Map<string, { index: number; worker: number }> {
    const { devices, workers } = this.#options;
    const count = workers.get(chassis) ?? 1;
    return new Map(
      state.ports.flatMap(({ name, value }, index) => {
        const worker = devices.get(name);
        if (value.chassis !== chassis || worker === undefined) return [];
        return [[name, { index, worker: worker % count }] as const];
      }),
    );
  }

  /** The workers of a chassis, for tests that break something. */
  workersOf(chassis: string): readonly VirtualWorker[] {
    return this.#chassis.get(chassis)!;
  }

  /** How many workers the chassis of a core has. */
  workerCountOf(core: Core): number {
    const workers = [...this.#chassis.values()].find((each) => each.some((w) => w.core === core));
    return workers!.length;
  }

  /** Gives a chassis another state; ports stay as they are. */
  publish(chassis: string, state: State): void {
    const tables = this.#compile(state, chassis);
    const edition = ++this.#edition;
    for (const worker of this.workersOf(chassis)) worker.adopt(tables, edition);
  }

  /** All workers of a chassis know no connection any more, and know that. */
  crash(chassis: string): void {
    const { ports, datapaths } = this.workersOf(chassis)[0]!.core.tables;
    const buffer = installedConnections().words.buffer as SharedArrayBuffer;
    for (let row = 0; row < ports.count; row++) {
      if (ports.location(row) !== LOCATED_HERE) continue;
      const zone = { vni: datapaths.key(ports.datapath(row)), port: ports.key(row) };
      for (const entry of numbersOf(buffer, zone)) connections.remove(entry);
    }
    for (const { core } of this.workersOf(chassis)) core.pickUp.open(clockMs);
  }

  /** From the next `publish` on, stamps have tags of another hour. */
  changeEpoch(by: number): void {
    this.#epoch += by;
  }

  get nowMs(): number {
    return clockMs;
  }

  passTime(milliseconds: number): void {
    clockMs += milliseconds;
  }

  /** Puts another port in the place of a logical port's device; returns it. */
  attach<P extends Port>(port: string, open: (context: PortContext) => P): P {
    const { chassis, worker, index } = this.#places.get(port)!;
    this.#ports.delete(port);
    return this.workersOf(chassis)[worker]!.attach(index, open);
  }

  /** A frame that the workload of a port sends. */
  receive(port: string, frame: Uint8Array): void {
    this.#ports.get(port)!.incoming.push(frame);
  }

  /** Lets everybody run until all that workloads sent has been received, if not sent on. */
  takeIn(): void {
    const workers = [...this.#chassis.values()].flat();
    while ([...this.#ports.values()].some(({ incoming }) => incoming.length > 0)) {
      for (const worker of this.#random.shuffled(workers)) worker.turn(clockMs);
    }
  }

  /** Lets some workers run once and some datagrams arrive. */
  runABit(): void {
    const workers = [...this.#chassis.values()].flat();
    this.#moveSome();
    for (const worker of this.#random.shuffled(workers)) {
      if (this.#random.once(2)) worker.turn(clockMs);
    }
    this.underlay.deliverSome();
  }

  /** Lets everybody run, in random order, until nothing is left to do. */
  run(): void {
    const workers = [...this.#chassis.values()].flat();
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if (round < MOVING_ROUNDS) this.#moveSome();
      for (const worker of this.#random.shuffled(workers)) {
        if (!this.#random.once(4)) worker.turn(clockMs);
      }
      if (this.underlay.deliverSome() || !workers.every((worker) => worker.isIdle())) continue;
      if (this.#releaseOrphans(workers)) continue;
      this.#settle(workers);
      return;
    }
    throw new Error(`expected the cluster to come to rest within ${ROUNDS_MAX} rounds`);
  }

  /** Whether fragments went on, or elsewhere, that waited for their first one. */
  #releaseOrphans(workers: readonly VirtualWorker[]): boolean {
    const counts = workers.map(({ orphans }) => orphans.count);
    if (counts.every((count) => count === 0)) return false;
    for (const worker of workers) worker.turn(clockMs);
    return workers.some(({ orphans }, i) => orphans.count !== counts[i]);
  }

  /** As `run`, and no fragment waits for its first one afterwards: their time is up. */
  runToTheEnd(): void {
    this.run();
    const workers = [...this.#chassis.values()].flat();
    if (workers.every(({ orphans }) => orphans.count === 0)) return;
    clockMs += ORPHAN_MS;
    for (const worker of workers) worker.turn(clockMs);
    this.run();
  }

  #moveSome(): void {
    if (this.#options.hasMoves !== true) return;
    for (const moves of this.#moves) if (this.#random.once(MOVE_ONCE_IN)) moves.begin();
  }

  /** Brings freed slots home. */
  #settle(workers: readonly VirtualWorker[]): void {
    for (const worker of workers) worker.turn(clockMs);
    for (const allocator of this.#allocators) allocator.collect();
  }

  /** What the workloads got since the last call. */
  take(): Sent[] {
    return [...this.#ports].flatMap(([port, { sent }]) =>
      sent.splice(0).map((bytes) => ({ port, bytes })),
    );
  }

  counts(chassis: string): Counts {
    const all = this.workersOf(chassis).map(({ counters }) => counters);
    const sum = (read: (counters: (typeof all)[number]) => number): number =>
      all.reduce((total, counters) => total + read(counters), 0);
    const stages = Array.from({ length: STAGE_COUNT }, (_, stage) => stage);
    const reasons = Array.from({ length: DROP_REASON_COUNT }, (_, reason) => reason);
    return {
      packets: stages.map((stage) => sum((counters) => counters.stage(stage).packets)),
      drops: stages.map((stage) => sum((counters) => counters.stage(stage).drops)),
      reasons: new Map(
        reasons
          .map((reason) => [dropReasonName(reason), sum((c) => c.dropped(reason))] as const)
          .filter(([, count]) => count !== 0),
      ),
    };
  }

  /** How often rule number `index` of the state decided at a chassis. */
  ruleHits(chassis: string, index: number): number {
    const counters = this.workersOf(chassis).map(({ core }) => core.ruleCounters);
    return counters.reduce((total, each) => total + each.hits(index), 0);
  }

  /** The connections of each workload's port that have not run out. */
  connections(): ReadonlyMap<string, readonly Connection[]> {
    const live = listConnections().filter(({ expires }) => ((expires - clockMs) | 0) >= 0);
    return Map.groupBy(live, ({ vni, port }) => this.#zones.get(`${vni} ${port}`)!);
  }

  /** Slots that are in nobody's hands; all of them when the cluster is at rest. */
  get freeSlots(): number {
    return this.#allocators.reduce((sum, each) => sum + each.smallFree + each.largeFree, 0);
  }

  get slotCount(): number {
    const { smallCount, largeCount } = SLOTS_PER_WORKER;
    return this.#allocators.length * (smallCount + largeCount);
  }
}

/** All workers of all chassis as one set, each home to its own part of the thread's one pool. */
function makeAllocators(count: number): SlotAllocator[] {
  const numbers = Array.from({ length: count }, (_, i) => i);
  const size = {
    smallCount: SLOTS_PER_WORKER.smallCount * count,
    largeCount: SLOTS_PER_WORKER.largeCount * count,
  };
  const rings = numbers.map(() => numbers.map(() => ringMemory(RETURN_CAPACITY)));
  return numbers.map((worker) => {
    const others = numbers.filter((other) => other !== worker);
    return new SlotAllocator(
      size,
      worker,
      count,
      numbers.map((to) => (to === worker ? null : new RingProducer(rings[worker]![to]!))),
      others.map((from) => new RingConsumer(rings[from]![worker]!)),
    );
  });
}

/** The names of the workloads' ports by datapath key and port key. MAC addresses are unique. */
function zonesOf(state: State, { ports, datapaths }: Tables): Map<string, string> {
  const names = new Map(state.ports.map(({ name, value }) => [value.mac, name]));
  return new Map(
    Array.from({ length: ports.count }, (_, row) => {
      const mac = formatMac({ high: ports.macHigh(row), low: ports.macLow(row) });
      const zone = `${datapaths.key(ports.datapath(row))} ${ports.key(row)}`;
      return [zone, names.get(mac) ?? mac] as const;
    }),
  );
}

function ringMemory(capacity: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(ringWords(capacity) * 4));
}
