/**
 * Puts one worker together from its plan: ports, rings, tables, stages, loop; and obeys its
 * mailbox.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import { openAfPacket } from "@rhone/netio/af-packet";
import { openAfXdp } from "@rhone/netio/af-xdp";
import { Poller } from "@rhone/netio/doorbell";
import type { Port, PortContext } from "@rhone/netio/port";
import { openTap } from "@rhone/netio/tap";
import { UdpUnderlay } from "@rhone/netio/udp-underlay";
import { BUCKET_COUNT, Core } from "@rhone/pipeline-stages/core";
import { Counters, DEVICES_MAX } from "@rhone/rings/counters";
import { RingConsumer, RingProducer } from "@rhone/rings/ring";
import { RuleCounters } from "@rhone/rings/rule-counters";
import { SlotAllocator } from "@rhone/rings/slot-allocator";
import { WorkerStatus } from "@rhone/rings/worker-status";
import { Tables } from "@rhone/tables/generation";
import { Departures, type Neighbour } from "./departures.ts";
import { mayJoin } from "./hand-off.ts";
import type { Command, Driver, Report, WorkerPlan } from "./plan.ts";
import { RunLoop } from "./run-loop.ts";
import { TableHistory } from "./table-history.ts";

const OPENERS = { "af-packet": openAfPacket, "af-xdp": openAfXdp, tap: openTap } as const;

export class Actor {
  readonly #plan: WorkerPlan;
  readonly #counters: Counters;
  readonly #status: WorkerStatus;
  readonly #allocator: SlotAllocator;
  readonly #history: TableHistory;
  readonly #core: Core;
  readonly #underlay: UdpUnderlay;
  readonly #poller = new Poller();
  readonly #open: Port[] = [];
  readonly #byIndex: (Port | null)[] = Array.from({ length: DEVICES_MAX }, () => null);

  constructor(plan: WorkerPlan) {
    const { worker, workerCount, returns } = plan;
    this.#plan = plan;
    this.#counters = new Counters(plan.counters);
    this.#status = new WorkerStatus(plan.statuses[worker]!);
    this.#allocator = new SlotAllocator(
      plan.pool,
      worker,
      workerCount,
      returns[worker]!.map((ring, to) => (to === worker ? null : producer(ring))),
      others(worker, workerCount).map((from) => consumer(returns[from]![worker]!)),
    );
    const tables = new Tables(plan.tables, 0);
    this.#history = new TableHistory(tables);
    const ruleCounters = new RuleCounters(plan.ruleCounters);
    this.#core = new Core(worker, this.#counters, this.#allocator, tables, ruleCounters);
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
      this.#core.owners[bucket] = bucket % workerCount;
    }
    this.#underlay = new UdpUnderlay({
      ...plan.underlay,
      allocator: this.#allocator,
      counters: this.#counters,
      mayJoin: (at, end, source) => mayJoin(this.#history.newest, at, end, source),
    });
  }

  /** Runs until told to stop, then closes every port. */
  run(): void {
    const { worker, workerCount, rings, statuses, doorbells } = this.#plan;
    const neighbours = rings[worker]!.map((ring, to): Neighbour | null =>
      to === worker
        ? null
        : {
            ring: producer(ring),
            status: new WorkerStatus(statuses[to]!),
            doorbell: doorbells[to]!,
          },
    );
    this.#poller.add(doorbells[worker]!);
    this.#poller.add(this.#underlay.descriptor);
    const loop = new RunLoop({
      core: this.#core,
      history: this.#history,
      departures: new Departures(this.#core, this.#byIndex, neighbours, this.#underlay),
      underlay: this.#underlay,
      rings: others(worker, workerCount).map((from) => consumer(rings[from]![worker]!)),
      status: this.#status,
      doorbell: doorbells[worker]!,
      // Every thread's own clock starts with the thread.
      clockOffsetMs: performance.timeOrigin - this.#plan.clockOriginMs,
      poller: this.#poller,
      open: this.#open,
      drainMailbox: () => this.#drainMailbox(),
      onPortDown: (port) => this.#closePort(this.#byIndex.indexOf(port), "the device is gone"),
    });
    this.#status.setRunning(true);
    try {
      loop.run();
    } finally {
      this.#status.setRunning(false);
      for (const port of this.#open) port.close();
      this.#underlay.close();
    }
  }

  #drainMailbox(): boolean {
    for (;;) {
      const received = receiveMessageOnPort(this.#plan.mailbox);
      if (received === undefined) return true;
      const command: Command = received.message;
      switch (command.type) {
        case "tables":
          this.#adopt(command.buffer, command.edition);
          break;
        case "open":
          this.#openPort(command.index, command.device, command.driver);
          break;
        case "close":
          this.#closePort(command.index, "closed");
          break;
        case "stop":
          return false;
      }
    }
  }

  #adopt(buffer: SharedArrayBuffer, edition: number): void {
    const tables = new Tables(buffer, edition);
    this.#history.adopt(tables);
    this.#core.tables = tables;
    this.#status.setAdopted(edition);
  }

  #openPort(index: number, device: string, driver: Driver): void {
    if (this.#byIndex[index] !== null) this.#closePort(index, "reopened");
    const context: PortContext = { index, allocator: this.#allocator, counters: this.#counters };
    try {
      const port = OPENERS[driver](device, context);
      this.#byIndex[index] = port;
      this.#open.push(port);
      this.#poller.add(port.descriptor);
      this.#report({ type: "opened", index });
    } catch (error) {
      // The device is missing or refuses: the control thread decides when to try again.
      this.#report({ type: "refused", index, detail: (error as Error).message });
    }
  }

  #closePort(index: number, detail: string): void {
    const port = this.#byIndex[index];
    if (port === null || port === undefined) return;
    this.#poller.remove(port.descriptor);
    this.#open.splice(this.#open.indexOf(port), 1);
    this.#byIndex[index] = null;
    port.close();
    this.#report({ type: "closed", index, detail });
  }

  #report(report: Report): void {
    this.#plan.mailbox.postMessage(report);
  }
}

function producer(ring: SharedArrayBuffer): RingProducer {
  return new RingProducer(new Int32Array(ring));
}

function consumer(ring: SharedArrayBuffer): RingConsumer {
  return new RingConsumer(new Int32Array(ring));
}

function others(worker: number, workerCount: number): number[] {
  return Array.from({ length: workerCount }, (_, other) => other).filter((w) => w !== worker);
}
