/** One data-plane worker of the product, put together as its thread does it, but given turns. */

import type { Allotment } from "@rhone/dataplane-worker/allotment";
import { HandOver } from "@rhone/dataplane-worker/bucket-hand-over";
import { Departures } from "@rhone/dataplane-worker/departures";
import { EarlyPackets } from "@rhone/dataplane-worker/early-packets";
import { HeldPackets } from "@rhone/dataplane-worker/held-packets";
import { OrphanFragments } from "@rhone/dataplane-worker/orphan-fragments";
import { RunLoop } from "@rhone/dataplane-worker/run-loop";
import { TableHistory } from "@rhone/dataplane-worker/table-history";
import { Poller } from "@rhone/netio/doorbell";
import type { Port, PortContext } from "@rhone/netio/port";
import { Core } from "@rhone/pipeline-stages/core";
import { BegunEdition } from "@rhone/rings/begun-edition";
import { NOBODY } from "@rhone/rings/buckets";
import { COUNTERS_SIZE, Counters, DEVICES_MAX } from "@rhone/rings/counters";
import { RingConsumer, RingProducer } from "@rhone/rings/ring";
import { RULE_COUNTERS_SIZE, RuleCounters } from "@rhone/rings/rule-counters";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import type { WorkerStatus } from "@rhone/rings/worker-status";
import type { Fragments } from "@rhone/tables/fragments";
import { type Generation, Tables } from "@rhone/tables/generation";
import type { Random } from "./random.ts";
import { VirtualPort } from "./virtual-port.ts";
import type { VirtualTunnel, VirtualUnderlay } from "./virtual-underlay.ts";

export interface VirtualWorkerOptions {
  readonly chassis: string;
  readonly worker: number;
  readonly allocator: SlotAllocator;
  readonly tables: Generation;
  /** Of the tables: another one for each chassis and each time that it gets some. */
  readonly edition: number;
  readonly underlay: VirtualUnderlay;
  /** `rings[from][to]` between the workers of the chassis; the diagonal is unused. */
  readonly rings: readonly (readonly Int32Array[])[];
  readonly allotment: Allotment;
  /** Of all workers of the chassis. */
  readonly statuses: readonly WorkerStatus[];
  readonly random: Random;
  /** Of the whole chassis. */
  readonly fragments: Fragments;
}

/** Packets that wait for tables. */
export const EARLY_MAX = 32;
/** Fragments that wait for their first one. */
const ORPHANS_MAX = 64;

// One for all: nobody polls it.
const poller = new Poller();

/** Ports stay where they are, and sockets are not. */
const NOTHING_TO_CARRY = {
  inheritBucket: () => {},
  stopSocket: () => {},
  hasLeftovers: () => false,
  startSocket: () => {},
  detachPort: () => {},
  closePort: () => {},
  passPortsOn: () => {},
};

export class VirtualWorker {
  readonly counters = new Counters(new SharedArrayBuffer(COUNTERS_SIZE));
  readonly core: Core;
  readonly handOver: HandOver;
  readonly early: EarlyPackets;
  readonly orphans: OrphanFragments;
  /** Outer addresses, four words each, of those who sent what is not known here. */
  readonly askedFor: number[][] = [];
  /** What it adopts in one of its next turns. */
  mail: Allotment | null = null;
  readonly #allocator: SlotAllocator;
  readonly #history: TableHistory;
  readonly #begun = new BegunEdition();
  readonly #loop: RunLoop;
  readonly #tunnel: VirtualTunnel;
  readonly #rings: readonly RingConsumer[];
  readonly #open: Port[] = [];
  readonly #byIndex: (Port | null)[] = new Array<null>(DEVICES_MAX).fill(null);
  readonly #virtual: VirtualPort[] = [];
  readonly #random: Random;
  readonly #status: WorkerStatus;

  constructor({ chassis, worker, allocator, tables, ...rest }: VirtualWorkerOptions) {
    const { underlay, rings, allotment, statuses, random, edition, fragments } = rest;
    const first = new Tables(tables, edition);
    const outgoing = rings[worker]!.map((ring) => new RingProducer(ring));
    const neighbours = outgoing.map((ring, to) => {
      return { ring, status: statuses[to]!, doorbell: -1 };
    });
    this.#random = random;
    this.#status = statuses[worker]!;
    this.#allocator = allocator;
    this.#history = new TableHistory(first);
    this.#begun.set(first.edition);
    const ruleCounters = new RuleCounters(new SharedArrayBuffer(RULE_COUNTERS_SIZE));
    this.core = new Core(worker, this.counters, allocator, first, ruleCounters, fragments);
    this.core.owners.fill(NOBODY);
    this.core.deviceOwners.fill(NOBODY);
    this.#tunnel = underlay.open(chassis, allocator, this.counters);
    this.#rings = rings
      .filter((_, from) => from !== worker)
      .map((from) => new RingConsumer(from[worker]!));
    this.handOver = new HandOver({
      ...{ worker, statuses, incoming: this.#rings },
      ...{ owners: this.core.owners, devices: this.core.deviceOwners },
      sockets: new Uint8Array(0),
      outgoing: outgoing.map((ring, to) => (to === worker ? null : ring)),
      luggage: NOTHING_TO_CARRY,
    });
    this.handOver.adopt(allotment);
    this.early = new EarlyPackets({
      ...{ core: this.core, history: this.#history, limit: EARLY_MAX },
      onSender: (address, at) => this.askedFor.push([...address.subarray(at, at + 4)]),
    });
    this.core.holdRefused = (slot) => this.early.holdRefused(slot);
    this.orphans = new OrphanFragments(this.core, this.#history, ORPHANS_MAX);
    this.core.holdOrphan = (slot) => this.orphans.hold(slot);
    this.#loop = new RunLoop({
      core: this.core,
      history: this.#history,
      ...{ begun: this.#begun, onBegun: () => {} },
      departures: new Departures(this.core, this.#byIndex, neighbours, this.#tunnel),
      underlay: this.#tunnel,
      rings: this.#rings,
      ...{
        handOver: this.handOver,
        held: new HeldPackets(new RingConsumer(rings[worker]![worker]!)),
        early: this.early,
        orphans: this.orphans,
      },
      ...{
        status: statuses[worker]!,
        doorbell: -1,
        clockOffsetMs: 0,
        poller,
        open: this.#open,
        tunnelPorts: [],
      },
      drainMailbox: () => true,
      onPortDown: () => {},
    });
  }

  openPort(index: number): VirtualPort {
    const port = this.attach(index, (context) => new VirtualPort(context, this.#random));
    this.#virtual.push(port);
    return port;
  }

  /** Puts a port in the place of a device's, if there is one. */
  attach<P extends Port>(index: number, open: (context: PortContext) => P): P {
    const { counters } = this;
    const port = open({ index, allocator: this.#allocator, counters });
    const before = this.#byIndex[index];
    if (before != null) this.#open.splice(this.#open.indexOf(before), 1);
    this.#open.push(port);
    this.#byIndex[index] = port;
    return port;
  }

  adopt(image: Generation, edition: number): void {
    this.#history.hold(new Tables(image, edition));
    this.#begun.set(edition);
  }

  #sayAdopted(): void {
    this.#status.setAdopted(this.#history.newest.edition);
  }

  turn(nowMs: number): void {
    if (this.mail !== null && this.#random.once(2)) {
      this.handOver.adopt(this.mail);
      this.mail = null;
    }
    // Late at times: its neighbours send stamps until then.
    if (this.#random.once(2)) this.#sayAdopted();
    this.#loop.turn(nowMs);
  }

  /** Whether a turn would find nothing. */
  isIdle(): boolean {
    if (this.mail !== null || this.handOver.isBusy) return false;
    if (this.#tunnel.incoming.length > 0) return false;
    return (
      this.#rings.every((ring) => ring.isEmpty()) &&
      this.#virtual.every((port) => port.incoming.length === 0)
    );
  }
}
