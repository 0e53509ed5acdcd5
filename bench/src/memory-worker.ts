/**
 * A worker in memory: the product's own loop, stages, rings and hand-offs; only its ports make
 * packets up and count those that leave. Of two ports each sends to the other one. With two workers
 * each has one of them and half of the flows, so that every packet goes through a ring once; or
 * each has both for itself, and either all flows that come in by them are its own, or half of them.
 */
import { HandOver } from "@rhone/dataplane-worker/bucket-hand-over";
import { Departures } from "@rhone/dataplane-worker/departures";
import { EarlyPackets } from "@rhone/dataplane-worker/early-packets";
import { HeldPackets } from "@rhone/dataplane-worker/held-packets";
import { OrphanFragments } from "@rhone/dataplane-worker/orphan-fragments";
import { RunLoop } from "@rhone/dataplane-worker/run-loop";
import { SlotFlow } from "@rhone/dataplane-worker/slot-flow";
import { TableHistory } from "@rhone/dataplane-worker/table-history";
import { Poller } from "@rhone/netio/doorbell";
import type { Port, PortContext, Tunnel } from "@rhone/netio/port";
import { Core } from "@rhone/pipeline-stages/core";
import { parse } from "@rhone/pipeline-stages/parse";
import { buildTables } from "@rhone/pipeline-stages/test-network";
import { BegunEdition } from "@rhone/rings/begun-edition";
import { bucketOf, firstOwners, NOBODY } from "@rhone/rings/buckets";
import { COUNTERS_SIZE, Counters, DEVICES_MAX } from "@rhone/rings/counters";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { RingConsumer, RingProducer } from "@rhone/rings/ring";
import { RULE_COUNTERS_SIZE, RuleCounters } from "@rhone/rings/rule-counters";
import { SlotAllocator } from "@rhone/rings/slot-allocator";
import { WorkerStatus } from "@rhone/rings/worker-status";
import { Fragments } from "@rhone/tables/fragments";
import { frameFromVm4, frameOf, rulesBefore } from "./memory-network.ts";
import type { Shared } from "./memory-threads.ts";

const FLOWS = 10_000; // of each port
const RULES = 100;
const FRAME_SIZE = 60;
const HEADER_WORDS = 11;
/** Device indices of the two ports, and the frames that come in by them. */
const VM1_DEVICE = 0;
const VM4_DEVICE = 2;
const FRAMES = new Map([
  [VM1_DEVICE, frameOf],
  [VM4_DEVICE, frameFromVm4],
]);
/** Turns between two looks at the clock. */
const TURNS = 64;

const { words } = poolViews();

class PacketMaker implements Port {
  readonly descriptors = [];
  readonly carriesOffloads = true;
  readonly isUp = true;
  sent = 0;
  readonly #context: PortContext;
  readonly #headers: Int32Array;
  #next = 0;

  /** Of flows that `isWanted` by their hash. */
  constructor(context: PortContext, isWanted: (flowHash: number) => boolean) {
    this.#context = context;
    this.#headers = new Int32Array(FLOWS * HEADER_WORDS);
    const make = FRAMES.get(context.index)!;
    const slot = context.allocator.takeSmall();
    const frameAt = packet.defaultFrameAt(slot);
    for (let made = 0, flow = 0; made < FLOWS; flow++) {
      const header = new Int32Array(make(flow).buffer, 0, HEADER_WORDS);
      words.set(header, frameAt >> 2);
      packet.begin(slot, frameAt, FRAME_SIZE, context.index);
      parse(slot);
      if (isWanted(packet.flowHash(slot))) this.#headers.set(header, made++ * HEADER_WORDS);
    }
    context.allocator.give(slot);
  }

  receive(slots: Int32Array, limit: number): number {
    const { index, allocator, counters } = this.#context;
    let count = 0;
    for (; count < limit; count++) {
      const slot = allocator.takeSmall();
      if (slot < 0) break;
      const frameAt = packet.defaultFrameAt(slot);
      const from = this.#next * HEADER_WORDS;
      for (let i = 0; i < HEADER_WORDS; i++) words[(frameAt >> 2) + i] = this.#headers[from + i]!;
      this.#next = (this.#next + 7919) % FLOWS;
      packet.begin(slot, frameAt, FRAME_SIZE, index);
      slots[count] = slot;
    }
    counters.countReceived(index, count, count * FRAME_SIZE);
    return count;
  }

  transmit(slots: Int32Array, count: number): void {
    for (let i = 0; i < count; i++) this.#context.allocator.give(slots[i]!);
    this.sent += count;
  }

  reclaim(): boolean {
    return false;
  }

  close(): void {}
}

const NO_TUNNEL: Tunnel = {
  descriptor: -1,
  sources: new Int32Array(0),
  receive: () => 0,
  transmit: () => {},
  transmitSegments: () => {},
  reclaim: () => false,
  close: () => {},
};

const NOTHING_TO_CARRY = {
  inheritBucket: () => {},
  stopSocket: () => {},
  hasLeftovers: () => false,
  startSocket: () => {},
  detachPort: () => {},
  closePort: () => {},
  passPortsOn: () => {},
};

export class MemoryWorker {
  readonly #loop: RunLoop;
  readonly #ports: PacketMaker[] = [];
  readonly #allocator: SlotAllocator;
  readonly #slotFlow: SlotFlow;
  readonly #slotsAtFirst: number;

  constructor(shared: Shared) {
    const { worker, workers, pool } = shared;
    const numbers = Array.from({ length: workers }, (_, i) => i);
    const others = numbers.filter((other) => other !== worker);
    const consumer = (ring: SharedArrayBuffer) => new RingConsumer(new Int32Array(ring));
    const producer = (ring: SharedArrayBuffer) => new RingProducer(new Int32Array(ring));
    const counters = new Counters(new SharedArrayBuffer(COUNTERS_SIZE));
    const homewards = shared.returns[worker]!.map((ring, to) =>
      to === worker ? null : producer(ring),
    );
    const homecoming = others.map((from) => consumer(shared.returns[from]![worker]!));
    const allocator = new SlotAllocator(pool, worker, workers, homewards, homecoming);
    this.#allocator = allocator;
    this.#slotsAtFirst = allocator.smallFree + allocator.largeFree;
    const tables = buildTables(1, rulesBefore(RULES));
    const ruleCounters = new RuleCounters(new SharedArrayBuffer(RULE_COUNTERS_SIZE));
    const fragments = new Fragments(shared.fragments);
    const core = new Core(worker, counters, allocator, tables, ruleCounters, fragments);
    core.owners.fill(NOBODY);
    core.deviceOwners.fill(NOBODY);
    const statuses = shared.statuses.map((status) => new WorkerStatus(status));
    statuses[worker]!.setAdopted(tables.edition); // The same in each thread, which makes one.
    const begun = new BegunEdition();
    begun.set(tables.edition);
    const incoming = others.map((from) => consumer(shared.rings[from]![worker]!));
    const outgoing = shared.rings[worker]!.map(producer);
    const held = consumer(shared.rings[worker]![worker]!);
    this.#slotFlow = new SlotFlow([...incoming, held, ...homecoming], [...outgoing, ...homewards]);
    const handOver = new HandOver({
      ...{ worker, statuses, incoming, luggage: NOTHING_TO_CARRY },
      ...{ owners: core.owners, devices: core.deviceOwners, sockets: new Uint8Array(0) },
      outgoing: outgoing.map((ring, to) => (to === worker ? null : ring)),
    });
    const devices = new Uint8Array(DEVICES_MAX).fill(0);
    if (shared.crossing === "crossing") devices[VM4_DEVICE] = workers - 1;
    else devices.fill(worker);
    const owners = firstOwners(numbers);
    handOver.adopt({ edition: 1, workers: numbers, owners, devices, sockets: new Uint8Array(0) });
    const byIndex = new Array<Port | null>(DEVICES_MAX).fill(null);
    const isApart = shared.crossing === "apart";
    const isWanted = (flowHash: number) => !isApart || owners[bucketOf(flowHash)] === worker;
    for (const index of FRAMES.keys()) {
      if (devices[index] !== worker) continue;
      const port = new PacketMaker({ index, allocator, counters }, isWanted);
      this.#ports.push(port);
      byIndex[index] = port;
    }
    const neighbours = outgoing.map((ring, to) => {
      return { ring, status: statuses[to]!, doorbell: -1 };
    });
    const history = new TableHistory(tables);
    const early = new EarlyPackets({ core, history, limit: 0, onSender: () => {} });
    const orphans = new OrphanFragments(core, history, 0);
    this.#loop = new RunLoop({
      ...{ core, history, early, orphans, underlay: NO_TUNNEL, rings: incoming },
      ...{ begun, onBegun: () => {} },
      departures: new Departures(core, byIndex, neighbours, NO_TUNNEL),
      ...{ handOver, held: new HeldPackets(held) },
      ...{ status: statuses[worker]!, doorbell: -1, clockOffsetMs: 0, poller: new Poller() },
      ...{ open: this.#ports, tunnelPorts: [], drainMailbox: () => true, onPortDown: () => {} },
    });
  }

  /** Slots that it should have and has not, between two turns. */
  get slotsLost(): number {
    const { smallFree, largeFree, waiting } = this.#allocator;
    return this.#slotsAtFirst + this.#slotFlow.balance() - smallFree - largeFree - waiting;
  }

  /** Works for so long; returns how many packets left by its ports meanwhile. */
  runFor(ms: number): number {
    const before = this.#sent();
    const endMs = performance.now() + ms;
    while (performance.now() < endMs) this.turns(TURNS);
    return this.#sent() - before;
  }

  /** Works until at least so many packets have left by its ports; returns how many did. */
  runUntilSent(packets: number): number {
    const before = this.#sent();
    while (this.#sent() - before < packets) this.turns(TURNS);
    return this.#sent() - before;
  }

  turns(count: number): void {
    for (let turn = 0; turn < count; turn++) this.#loop.turn(performance.now() | 0);
  }

  #sent(): number {
    let sent = 0;
    for (let i = 0; i < this.#ports.length; i++) sent += this.#ports[i]!.sent;
    return sent;
  }
}
