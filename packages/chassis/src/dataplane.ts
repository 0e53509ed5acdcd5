/**
 * The data plane as the control thread sees it: threads, shared memory, generations, devices.
 *
 * piscina owns the threads; each runs one never-ending task. All memory is made here, before the
 * first packet; afterwards only messages to mailboxes and stores to shared words leave this class.
 */
import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { Command, Driver, Report, WorkerPlan } from "@rhone/dataplane-worker/plan";
import { RING_CAPACITY } from "@rhone/dataplane-worker/plan";
import { closeDoorbell, createDoorbell, ringDoorbell } from "@rhone/netio/doorbell";
import { COUNTERS_SIZE, Counters } from "@rhone/rings/counters";
import { createPool, type PoolSize } from "@rhone/rings/pool";
import { ringWords } from "@rhone/rings/ring";
import { RULE_COUNTERS_SIZE, RuleCounters } from "@rhone/rings/rule-counters";
import { WORKER_STATUS_SIZE, WorkerStatus } from "@rhone/rings/worker-status";
import { createConnections, type Usage, usageOf } from "@rhone/tables/connection-memory";
import { Piscina } from "piscina";

/** Packet slots of each worker. */
const SLOTS_PER_WORKER: PoolSize = { smallCount: 16384, largeCount: 256 };

interface WorkerHandle {
  readonly status: WorkerStatus;
  readonly counters: Counters;
  readonly ruleCounters: RuleCounters;
  readonly doorbell: number;
  readonly mailbox: MessagePort;
  readonly ended: Promise<void>;
}

export interface DataplaneOptions {
  readonly workers: number;
  /** Connections that the chassis can track. */
  readonly connections: number;
  readonly underlay: string;
  readonly underlayPort: number;
  /** The first generation. */
  readonly tables: SharedArrayBuffer;
  readonly onReport: (worker: number, report: Report) => void;
  /** Called when a worker ended that was not told to. */
  readonly onWorkerLost: (worker: number, error: Error) => void;
}

export class Dataplane {
  readonly #threads: Piscina;
  readonly #workers: readonly WorkerHandle[];
  readonly #options: DataplaneOptions;
  readonly #connections: SharedArrayBuffer;
  #isStopping = false;
  #edition = 0;

  constructor(options: DataplaneOptions) {
    this.#options = options;
    const { workers: count } = options;
    this.#connections = createConnections(options.connections);
    const numbers = Array.from({ length: count }, (_, i) => i);
    const pool = createPool({
      smallCount: SLOTS_PER_WORKER.smallCount * count,
      largeCount: SLOTS_PER_WORKER.largeCount * count,
    });
    // A return ring must hold every slot of its consumer.
    const returnCapacity = powerOfTwo(SLOTS_PER_WORKER.smallCount + SLOTS_PER_WORKER.largeCount);
    const rings = numbers.map(() => numbers.map(() => ringMemory(RING_CAPACITY)));
    const returns = numbers.map(() => numbers.map(() => ringMemory(returnCapacity)));
    const statuses = numbers.map(() => new SharedArrayBuffer(WORKER_STATUS_SIZE));
    const doorbells = numbers.map(() => createDoorbell());
    this.#threads = new Piscina({
      filename: import.meta.resolve("@rhone/dataplane-worker/worker"),
      minThreads: count,
      maxThreads: count,
      idleTimeout: Number.POSITIVE_INFINITY,
    });
    this.#workers = numbers.map((worker) => {
      const { port1, port2 } = new MessageChannel();
      const counters = new SharedArrayBuffer(COUNTERS_SIZE);
      const ruleCounters = new SharedArrayBuffer(RULE_COUNTERS_SIZE);
      const plan: WorkerPlan = {
        ...{ worker, workerCount: count, pool, rings, returns, statuses, doorbells, counters },
        ruleCounters,
        connections: this.#connections,
        clockOriginMs: performance.timeOrigin,
        tables: options.tables,
        underlay: { address: options.underlay, port: options.underlayPort },
        mailbox: port2,
      };
      port1.on("message", (report: Report) => options.onReport(worker, report));
      return {
        status: new WorkerStatus(statuses[worker]!),
        counters: new Counters(counters),
        ruleCounters: new RuleCounters(ruleCounters),
        doorbell: doorbells[worker]!,
        mailbox: port1,
        ended: this.#run(worker, plan),
      };
    });
  }

  async #run(worker: number, plan: WorkerPlan): Promise<void> {
    try {
      // piscina derives its type from the browser's postMessage, which the page's types bring in.
      await this.#threads.run(plan, { transferList: [plan.mailbox] as never });
    } catch (error) {
      if (!this.#isStopping) this.#options.onWorkerLost(worker, error as Error);
    }
  }

  get workerCount(): number {
    return this.#workers.length;
  }

  counters(worker: number): Counters {
    return this.#workers[worker]!.counters;
  }

  /** By worker. */
  ruleCounters(): RuleCounters[] {
    return this.#workers.map(({ ruleCounters }) => ruleCounters);
  }

  connections(): Usage {
    return usageOf(this.#connections);
  }

  isRunning(worker: number): boolean {
    return this.#workers[worker]!.status.isRunning();
  }

  /**
   * Gives every worker a generation; each adopts it before its next batch. Returns its edition: a
   * generation's number says which state it is of, and can come again with other tables.
   */
  publish(tables: SharedArrayBuffer): number {
    const edition = ++this.#edition;
    for (const worker of this.#workers) post(worker, { type: "tables", buffer: tables, edition });
    return edition;
  }

  /** The oldest edition that a worker runs. */
  adopted(): number {
    return Math.min(...this.#workers.map(({ status }) => status.adopted()));
  }

  openDevice(worker: number, index: number, device: string, driver: Driver): void {
    post(this.#workers[worker]!, { type: "open", index, device, driver });
  }

  closeDevice(worker: number, index: number): void {
    post(this.#workers[worker]!, { type: "close", index });
  }

  /** Ends every worker; resolves when their threads are gone. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const worker of this.#workers) post(worker, { type: "stop" });
    await Promise.all(this.#workers.map(({ ended }) => ended));
    for (const { mailbox, doorbell } of this.#workers) {
      mailbox.close();
      closeDoorbell(doorbell);
    }
    await this.#threads.destroy();
  }
}

/** The message first, then the count that announces it, then the bell for one that sleeps. */
function post(worker: WorkerHandle, command: Command): void {
  worker.mailbox.postMessage(command);
  worker.status.countMail();
  if (worker.status.isSleeping()) ringDoorbell(worker.doorbell);
}

function ringMemory(capacity: number): SharedArrayBuffer {
  return new SharedArrayBuffer(ringWords(capacity) * 4);
}

function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(atLeast));
}
