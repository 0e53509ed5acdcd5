/**
 * All that the workers of a chassis share: memory, doorbells, sockets. It is made before the first
 * packet, for as many workers as there may ever be, and outlives each of them.
 */
import { randomInt } from "node:crypto";
import { RING_CAPACITY } from "@rhone/dataplane-worker/plan";
import { closeDoorbell, createDoorbell } from "@rhone/netio/doorbell";
import { wantHugePages } from "@rhone/netio/huge-pages";
import { openTunnelProgram, type TunnelProgram } from "@rhone/netio/tunnel-program";
import {
  closeTunnelSockets,
  openTunnelSockets,
  SOURCE_PORTS_DEFAULT,
} from "@rhone/netio/udp-socket";
import { BEGUN_EDITION_SIZE, BegunEdition } from "@rhone/rings/begun-edition";
import { COUNTERS_SIZE, Counters } from "@rhone/rings/counters";
import { DEVICE_FENCES_SIZE, DeviceFences } from "@rhone/rings/device-fences";
import { DeviceQueues } from "@rhone/rings/device-queues";
import { KNOWLEDGE_TIME_SIZE, KnowledgeTime } from "@rhone/rings/knowledge-time";
import { PICK_UP_WINDOW_SIZE, PickUpWindow } from "@rhone/rings/pick-up-window";
import { createPool, type Pool, type PoolSize } from "@rhone/rings/pool";
import { RingConsumer, ringWords } from "@rhone/rings/ring";
import { RULE_COUNTERS_SIZE, RuleCounters } from "@rhone/rings/rule-counters";
import { giveHome, hold, leftBy, recover, slotsIn } from "@rhone/rings/slot-recovery";
import { WORKER_STATUS_SIZE, WorkerStatus } from "@rhone/rings/worker-status";
import { createConnections } from "@rhone/tables/connection-memory";
import { FRAGMENTS_SIZE } from "@rhone/tables/fragments";

/** Packet slots of each worker. */
const SLOTS_PER_WORKER: PoolSize = { smallCount: 16384, largeCount: 256 };

export interface MemoryOptions {
  readonly workersMax: number;
  readonly connections: number;
  readonly underlay: string;
  readonly underlayPort: number;
  /** Of a worker's packets to other chassis, a power of two. */
  readonly sourcePorts?: number;
  /** Whether packets to and from them go over AF_XDP where they can. */
  readonly hasXdpTunnel?: boolean;
}

export class DataplaneMemory {
  readonly workersMax: number;
  readonly pool: Pool;
  readonly slotCount: number;
  readonly connections: SharedArrayBuffer;
  readonly fragments = new SharedArrayBuffer(FRAGMENTS_SIZE);
  readonly knowledgeBuffer = new SharedArrayBuffer(KNOWLEDGE_TIME_SIZE);
  /** Infinitely old until somebody says otherwise. */
  readonly knowledge = new KnowledgeTime(this.knowledgeBuffer);
  readonly pickUpBuffer = new SharedArrayBuffer(PICK_UP_WINDOW_SIZE);
  /** Closed until somebody opens it. */
  readonly pickUp = new PickUpWindow(this.pickUpBuffer);
  readonly fencesBuffer = new SharedArrayBuffer(DEVICE_FENCES_SIZE);
  /** All open until somebody says otherwise. */
  readonly fences = new DeviceFences(this.fencesBuffer);
  readonly queuesBuffer = DeviceQueues.create();
  readonly queues = new DeviceQueues(this.queuesBuffer);
  readonly begunBuffer = new SharedArrayBuffer(BEGUN_EDITION_SIZE);
  readonly begun = new BegunEdition(this.begunBuffer);
  /** `[from][to]`. */
  readonly rings: readonly (readonly SharedArrayBuffer[])[];
  readonly returns: readonly (readonly SharedArrayBuffer[])[];
  /** The rest is by worker. */
  readonly statusBuffers: readonly SharedArrayBuffer[];
  readonly statuses: readonly WorkerStatus[];
  readonly counterBuffers: readonly SharedArrayBuffer[];
  readonly counters: readonly Counters[];
  readonly ruleCounterBuffers: readonly SharedArrayBuffer[];
  readonly ruleCounters: readonly RuleCounters[];
  readonly senders: readonly SharedArrayBuffer[];
  readonly doorbells: readonly number[];
  /** Of the tunnel, to receive from. */
  readonly sockets: readonly number[];
  /** On the underlay device, for the tunnel's queues there; null: it goes by sockets alone. */
  readonly tunnelProgram: TunnelProgram | null;

  /**
   * Throws when this machine does not have the underlay address, its port is taken, or its device
   * cannot carry the tunnel in the way that was asked for.
   */
  constructor(options: MemoryOptions) {
    const { workersMax, connections, underlay, underlayPort } = options;
    const { sourcePorts = SOURCE_PORTS_DEFAULT } = options;
    this.workersMax = workersMax;
    this.knowledge.set(performance.now(), Number.POSITIVE_INFINITY);
    this.connections = createConnections(connections, randomInt(2 ** 32) | 0);
    wantHugePages(this.connections);
    const { smallCount, largeCount } = SLOTS_PER_WORKER;
    this.slotCount = (smallCount + largeCount) * workersMax;
    this.pool = createPool({
      smallCount: smallCount * workersMax,
      largeCount: largeCount * workersMax,
    });
    giveHome(this.pool, workersMax);
    const numbers = Array.from({ length: workersMax }, (_, i) => i);
    const each = (size: number) => numbers.map(() => new SharedArrayBuffer(size));
    // A return ring must hold every slot of its consumer.
    const returnCapacity = powerOfTwo(smallCount + largeCount);
    this.rings = numbers.map(() => each(ringWords(RING_CAPACITY) * 4));
    this.returns = numbers.map(() => each(ringWords(returnCapacity) * 4));
    this.statusBuffers = each(WORKER_STATUS_SIZE);
    this.statuses = this.statusBuffers.map((buffer) => new WorkerStatus(buffer));
    this.counterBuffers = each(COUNTERS_SIZE);
    this.counters = this.counterBuffers.map((buffer) => new Counters(buffer));
    this.ruleCounterBuffers = each(RULE_COUNTERS_SIZE);
    this.ruleCounters = this.ruleCounterBuffers.map((buffer) => new RuleCounters(buffer));
    this.senders = each(sourcePorts * 4);
    for (const senders of this.senders) new Int32Array(senders).fill(-1);
    this.sockets = openTunnelSockets(underlay, underlayPort, workersMax);
    const hasXdpTunnel = options.hasXdpTunnel === true;
    this.tunnelProgram = hasXdpTunnel ? openTunnelProgram(underlay, underlayPort) : null;
    this.doorbells = numbers.map(() => createDoorbell());
  }

  /** Slots that lie in rings now. */
  slotsInRings(): number {
    return [...this.rings.flat(), ...this.returns.flat()].reduce(
      (sum, ring) => sum + RingConsumer.peek(new Int32Array(ring)).length,
      0,
    );
  }

  /** Whether others have taken everything that a worker had handed over. */
  hasHandedOver(worker: number, running: readonly number[]): boolean {
    return running.every((to) => to === worker || slotsIn([this.rings[worker]![to]!]).size === 0);
  }

  /** Whether a worker has taken everything that was handed over to it. */
  isCaughtUp(worker: number): boolean {
    return this.ringDepth(worker) === 0;
  }

  /** Packets that wait for a worker. */
  ringDepth(worker: number): number {
    return slotsIn(this.rings.map((ring) => ring[worker]!)).size;
  }

  /** Slots that a worker has that has ended, wherever their home is. */
  slotsLeftBy(worker: number): number {
    return leftBy(this.pool, worker, this).reduce((sum, slots) => sum + slots.length, 0);
  }

  /** Takes back all that a worker had when it ended; returns its own slots, to start with. */
  recover(worker: number): Int32Array {
    return recover(this.pool, worker, this);
  }

  /** Notes that a worker has slots now that the kernel has of a port which it is given. */
  hold(slots: readonly number[], worker: number): void {
    hold(this.pool, slots, worker);
  }

  close(): void {
    this.tunnelProgram?.close();
    for (const doorbell of this.doorbells) closeDoorbell(doorbell);
    closeTunnelSockets(this.sockets);
    for (const senders of this.senders) {
      const own = new Set(new Int32Array(senders));
      for (const socket of this.sockets) own.delete(socket); // What had no socket of its own.
      closeTunnelSockets(own);
    }
  }
}

function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(atLeast));
}
