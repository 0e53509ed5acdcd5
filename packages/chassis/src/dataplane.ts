/**
 * The data plane as the control thread sees it: workers that come, go and die; who of them has
 * what; generations; devices.
 *
 * Everything that moves does so by allotments, one after the other: the next one is made when every
 * worker has settled the one in force, from what is wanted then. In between, only messages to
 * mailboxes and stores to shared words leave this class.
 */
import type { Allotment } from "@rhone/dataplane-worker/allotment";
import type { Driver, Report, SlotAccount, TablesEdition } from "@rhone/dataplane-worker/plan";
import { GENERATIONS_HELD } from "@rhone/dataplane-worker/table-history";
import { closePort, type PortState } from "@rhone/netio/movable-port";
import { DEVICES_MAX } from "@rhone/rings/counters";
import { PICK_UP_MS } from "@rhone/rings/pick-up-window";
import type { WorkerStatus } from "@rhone/rings/worker-status";
import { type Usage, usageOf } from "@rhone/tables/connection-memory";
import type { Generation } from "@rhone/tables/generation";
import { collect, type MovedPage, numbersOf, type Zone } from "@rhone/tables/moved-connections";
import { DataplaneMemory, type MemoryOptions } from "./dataplane-memory.ts";
import { FURTHER_QUEUES_MAX, FurtherQueues } from "./further-queues.ts";
import { firstAllotment, isIdle, nextAllotment } from "./next-allotment.ts";
import { type LedgerEntry, PortLedger } from "./port-ledger.ts";
import { WorkerThreads } from "./worker-threads.ts";

/** Time between two looks at how far the workers are, while something moves. */
const POLL_MS = 1;
/** A worker that dies again within this time waits as long before it is replaced. */
const RESTART_PAUSE_MS = 2000;
/** So long a worker that started beside others has little to do. */
const NEWCOMER_MS = 300;

export interface DataplaneOptions extends MemoryOptions {
  readonly workers: number;
  /** Whether a process before this one had ports, and took its connections with it. */
  readonly isRestart?: boolean;
  /** The first generation. */
  readonly tables: Generation;
  readonly onReport: (worker: number, report: Report) => void;
  /** Called when a worker ended that was not told to. */
  readonly onWorkerLost: (worker: number, error: Error) => void;
  /** Called when a worker starts. */
  readonly onWorkerStarted: (worker: number) => void;
}

export class Dataplane {
  readonly memory: DataplaneMemory;
  readonly #options: DataplaneOptions;
  readonly #threads: WorkerThreads;
  readonly #ledger = new PortLedger();
  readonly #further: FurtherQueues;
  readonly #whenSettled: (() => void)[] = [];
  /** Workers that died and are not replaced yet, and why. */
  readonly #lost = new Map<number, Error>();
  /** Those that are about to start, or must wait before they may. */
  readonly #coming = new Set<number>();
  readonly #lostAtMs = new Map<number, number>();
  /** Workers that started to join others, and until when they are new. */
  readonly #newcomers = new Map<number, number>();
  /** Workers that died and are still waited for, so that nothing overtakes what they had sent. */
  readonly #unforgotten = new Set<number>();
  #allotment: Allotment;
  #wanted: number;
  /** The newest generations, for workers that start: the newest first. */
  #tables: readonly TablesEdition[];
  /** How the other chassis are reached without the kernel's sockets, for workers that start. */
  #paths: SharedArrayBuffer | null = null;
  #timer: NodeJS.Timeout | null = null;
  #pickUpTimer: NodeJS.Timeout | null = null;
  #isStopping = false;

  constructor(options: DataplaneOptions) {
    const { workers, tables, underlay, underlayPort } = options;
    this.#options = options;
    this.#wanted = workers;
    this.#tables = [{ image: tables, edition: 0 }];
    this.memory = new DataplaneMemory(options);
    if (options.isRestart === true) this.#pickUpForAWhile();
    this.#further = new FurtherQueues(this.#ledger, this.memory.queues, devicesMax(this.memory));
    this.#allotment = firstAllotment(this.#wantedWorkers, this.memory.sockets.length);
    const endpoint = { address: underlay, port: underlayPort };
    this.#threads = new WorkerThreads(this.memory, workers, endpoint, {
      onReport: (worker, report) => this.#onReport(worker, report),
      onEnded: (worker, error) => this.#onEnded(worker, error),
    });
    this.#advance();
  }

  /** How many workers there should be. */
  get workersWanted(): number {
    return this.#wanted;
  }

  get allotment(): Allotment {
    return this.#allotment;
  }

  /** Workers that run, in ascending order. */
  get running(): readonly number[] {
    return this.#threads.running;
  }

  /** Workers that died and are not replaced yet, and why. */
  get lost(): ReadonlyMap<number, Error> {
    return this.#lost;
  }

  /** Whether every worker has what the newest allotment gives it. */
  get isSettled(): boolean {
    const { edition } = this.#allotment;
    return this.running.every((worker) => this.memory.statuses[worker]!.settled() === edition);
  }

  /** Whether the workers are those that should be, and each has what it should have. */
  get isComplete(): boolean {
    const { running } = this;
    const areThere = running.length === this.#wanted && running.at(-1) === this.#wanted - 1;
    const isGranted = this.#newcomers.size === 0 && this.#next() === this.#allotment;
    return areThere && isGranted && this.#mayMove() && this.#ledger.unheld().length === 0;
  }

  connections(): Usage {
    return usageOf(this.memory.connections);
  }

  /** The worker that has a device, NOBODY when it is closed. */
  workerOf(index: number): number {
    return this.#allotment.devices[index]!;
  }

  /** Names of the queues that a worker has of devices whose first one may be another's. */
  furtherQueuesOf(worker: number): string[] {
    const names = [...this.#further.names()];
    return names.filter(([index]) => this.workerOf(index) === worker).map(([, name]) => name);
  }

  /** From now on there should be so many workers, 1 to as many as the memory is for. */
  scale(workers: number): void {
    this.#wanted = Math.max(1, Math.min(workers, this.memory.workersMax));
    this.#advance();
  }

  /**
   * Gives every worker a generation to hold; packets begin as before. Returns its edition: a
   * generation's number says which state it is of, and can come again with other tables.
   */
  publish(tables: Generation): number {
    const newest = { image: tables, edition: this.#edition + 1 };
    this.#tables = [newest, ...this.#tables].slice(0, GENERATIONS_HELD);
    this.#threads.postAll({ type: "tables", ...newest });
    return newest.edition;
  }

  /** Gives every worker the ways to the tunnel's other endpoints, an image of tunnel-paths.ts. */
  publishPaths(image: SharedArrayBuffer): void {
    this.#paths = image;
    this.#threads.postAll({ type: "paths", image });
  }

  /** Lets packets begin under an edition, in each worker before its next batch. */
  begin(edition: number): void {
    this.memory.begun.set(edition);
    this.#threads.wakeAll();
  }

  /** The newest edition that every worker holds; -1 while none runs. */
  held(): number {
    return this.#least((status) => status.adopted());
  }

  /** The oldest edition that packets begin under at a worker; -1 while none runs. */
  begun(): number {
    return this.#least((status) => status.begun());
  }

  #least(editionOf: (status: WorkerStatus) => number): number {
    const editions = this.running.map((worker) => editionOf(this.memory.statuses[worker]!));
    return editions.length === 0 ? -1 : Math.min(...editions);
  }

  openDevice(index: number, device: string, driver: Driver): void {
    this.#ledger.want(index, device, driver);
    this.#advance();
  }

  closeDevice(index: number): void {
    this.#whenSettled.push(() => this.#close(index));
    this.#advance();
  }

  fenceDevice(index: number, isFenced: boolean): void {
    this.#further.setNarrow(index, isFenced);
    if (isFenced) this.memory.fences.set(index, Number.NEGATIVE_INFINITY);
    else this.memory.fences.remove(index);
  }

  /** Tells the outside of an open device where the routers of its port's switch are. */
  announceRouters(index: number): void {
    const owner = this.workerOf(index);
    if (this.#threads.isPresent(owner)) this.#threads.post(owner, { type: "announce", index });
  }

  /** Connections in a zone, at most `limit`, from `after` on: those that were not under way. */
  collectConnections(zone: Zone, after: number, limit: number): MovedPage {
    return collect(this.memory.connections, zone, after, limit, performance.now() | 0);
  }

  /** Writes connections into the table; false while buckets are between two workers. */
  takeConnections(zone: Zone, records: Int32Array): boolean {
    if (!this.#mayMove() || this.running.length === 0) return false;
    this.#threads.postAll({ type: "connections", zone, records });
    return true;
  }

  /** Removes all connections of a zone; false while buckets are between two workers. */
  forgetConnections(zone: Zone): boolean {
    if (!this.#mayMove() || this.running.length === 0) return false;
    const entries = numbersOf(this.memory.connections, zone);
    this.#threads.postAll({ type: "departed", zone, entries });
    return true;
  }

  /** Where the slots of each worker are that runs; resolves when all have said so. */
  accounts(): Promise<Map<number, SlotAccount>> {
    return this.#threads.accounts();
  }

  /** Slots that workers have which do not run. */
  slotsWithNobody(): number {
    const numbers = Array.from({ length: this.memory.workersMax }, (_, worker) => worker);
    const gone = numbers.filter((worker) => !this.#threads.isPresent(worker));
    return gone.reduce((sum, worker) => sum + this.memory.slotsLeftBy(worker), 0);
  }

  /** Ends every worker; resolves when their threads are gone. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#pickUpTimer !== null) clearTimeout(this.#pickUpTimer);
    await this.#threads.stop();
    for (const [, { state }] of this.#ledger.unheld()) if (state !== null) closePort(state);
    this.memory.close();
  }

  #pickUpForAWhile(): void {
    const { pickUp } = this.memory;
    pickUp.open(performance.now());
    this.#pickUpTimer = setTimeout(() => pickUp.close(), PICK_UP_MS);
  }

  get #edition(): number {
    return this.#tables[0]!.edition;
  }

  get #wantedWorkers(): number[] {
    return Array.from({ length: this.#wanted }, (_, worker) => worker);
  }

  #onReport(worker: number, report: Report): void {
    const entry = "index" in report ? this.#ledger.get(report.index) : undefined;
    switch (report.type) {
      case "started":
        this.#lost.delete(worker);
        if (isIdle(this.#allotment, worker)) {
          this.#newcomers.set(worker, performance.now() + NEWCOMER_MS);
        }
        this.#options.onWorkerStarted(worker);
        break;
      case "opened":
        this.#ledger.open(report.index, report.state);
        this.#further.take(report.index, entry?.device ?? null, report.further);
        break;
      case "adopted":
        this.#further.serve(report.index);
        break;
      case "detached":
        this.#passOn(report.index, report.state);
        break;
      case "closed":
      case "refused":
        this.#ledger.closed(report.index);
        this.#further.lose(report.index);
        for (const index of this.#further.takeFrom(report.index)) {
          this.#whenSettled.push(() => this.#closeFurther(index));
        }
        break;
    }
    this.#options.onReport(worker, report);
    this.#advance();
  }

  /**
   * A worker has let go of a port: its next owner goes on with it. If that one has died, it is
   * handed on when all is settled, but over AF_XDP it starts anew then, as in `#bury`.
   */
  #passOn(index: number, state: PortState | null): void {
    const owner = this.workerOf(index);
    const isPresent = this.#threads.isPresent(owner);
    let passed = state;
    if (state?.driver === "af-xdp") {
      // Before the owner is told: whenever it dies, these slots are found with what it had.
      this.memory.hold(state.lent, owner);
      if (!isPresent) {
        closePort(state);
        passed = null;
      }
    }
    if (isPresent) this.#threads.post(owner, { type: "adopt", index, state: passed });
    this.#ledger.pass(index, passed, isPresent ? owner : null);
  }

  #onEnded(worker: number, error: Error | null): void {
    if (this.#isStopping) return;
    this.#newcomers.delete(worker);
    if (error !== null) this.#bury(worker, error);
    this.#advance();
  }

  /** What a dead worker had sent is still delivered; its ports wait for whoever inherits them. */
  #bury(worker: number, error: Error): void {
    this.#unforgotten.add(worker);
    this.#threads.wakeAll();
    for (const entry of this.#ledger.orphan(worker)) {
      // What the kernel has of it, nobody can tell any more: it starts anew.
      if (entry.state?.driver !== "af-xdp") continue;
      closePort(entry.state);
      entry.state = null;
    }
    const now = performance.now();
    const before = this.#lostAtMs.get(worker) ?? Number.NEGATIVE_INFINITY;
    this.#lostAtMs.set(worker, now);
    this.#lost.set(worker, error);
    if (now - before < RESTART_PAUSE_MS) {
      this.#coming.add(worker);
      setTimeout(() => {
        this.#coming.delete(worker);
        this.#advance();
      }, RESTART_PAUSE_MS).unref();
    }
    this.#options.onWorkerLost(worker, error);
    for (const index of this.#ledger.closeFor(worker)) {
      this.#onReport(worker, { type: "closed", index, detail: "closed" });
    }
  }

  /** Does what can be done now, and looks again soon when something is on its way. */
  #advance(): void {
    if (this.#isStopping) return;
    this.#forgetEmptied();
    for (const [worker, untilMs] of this.#newcomers) {
      if (performance.now() >= untilMs) this.#newcomers.delete(worker);
    }
    if (this.#mayMove()) {
      for (const act of this.#whenSettled.splice(0)) act();
      this.#publishNext();
    }
    if (this.#mayMove()) {
      for (const [index, entry] of this.#ledger.unheld()) this.#handPort(index, entry);
      this.#dismissIdle();
      for (const worker of this.#wantedWorkers) this.#startIfMissing(worker);
      const isCrew = this.running.every((worker) => worker < this.#wanted);
      if (isCrew && this.#newcomers.size === 0) return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#advance();
    }, POLL_MS);
  }

  /** Nobody waits for a dead worker any more when the others have what it had sent. */
  #forgetEmptied(): void {
    for (const worker of this.#unforgotten) {
      if (!this.memory.hasHandedOver(worker, this.running)) continue;
      this.#unforgotten.delete(worker);
      this.#threads.postAll({ type: "forget", worker });
    }
  }

  /** Whether nothing is on its way, not even what a dead worker had sent. */
  #mayMove(): boolean {
    if (!this.isSettled || this.#unforgotten.size > 0) return false;
    // Who is about to start with something of its own keeps it.
    return !this.#threads.starting.some((worker) => !isIdle(this.#allotment, worker));
  }

  /** What should be in force: the same as is, when nothing is wanted that is not so. */
  #next(): Allotment {
    const { running } = this;
    const owners = running.filter((worker) => worker < this.#wanted);
    // Whoever starts first begins with what is in force.
    if (owners.length === 0) return this.#allotment;
    const newcomers = owners.filter((worker) => this.#newcomers.has(worker));
    const { indices } = this.#ledger;
    return nextAllotment(this.#allotment, { owners, newcomers, running, devices: indices });
  }

  #publishNext(): void {
    const next = this.#next();
    if (next === this.#allotment) return;
    this.#allotment = next;
    this.#threads.postAll({ type: "allotment", allotment: next });
  }

  /** The port of a device goes to the worker that owns it, to go on with it or to open it. */
  #handPort(index: number, entry: LedgerEntry): void {
    const { state, device, driver } = entry;
    const owner = this.workerOf(index);
    if (!this.#threads.isPresent(owner)) return;
    entry.holder = owner;
    if (state !== null) this.#threads.post(owner, { type: "adopt", index, state });
    else this.#threads.post(owner, { type: "open", index, device, driver });
  }

  #close(index: number): void {
    for (const further of this.#further.takeFrom(index)) this.#closeFurther(further);
    const holder = this.#ledger.close(index);
    if (holder !== null) this.#threads.post(holder, { type: "close", index });
    else queueMicrotask(() => this.#onReport(0, { type: "closed", index, detail: "closed" }));
  }

  /** Closes a queue that goes with its device. */
  #closeFurther(index: number): void {
    const holder = this.#further.close(index);
    if (holder !== null) this.#threads.post(holder, { type: "close", index });
  }

  /** Ends workers that have nothing, when nothing is on its way to them. */
  #dismissIdle(): void {
    // Under older tables, stages might still be placed with them.
    if (this.begun() !== this.#edition) return;
    const { running } = this;
    for (const worker of running) {
      const isIdleNow = worker >= this.#wanted && isIdle(this.#allotment, worker);
      if (isIdleNow && this.memory.isCaughtUp(worker)) this.#threads.dismiss(worker);
    }
  }

  #startIfMissing(worker: number): void {
    if (this.#threads.isPresent(worker) || this.#coming.has(worker)) return;
    // What it has in the allotment others must inherit first, if there are any.
    if (this.running.length > 0 && !isIdle(this.#allotment, worker)) return;
    const slots = this.memory.recover(worker);
    const [tables, allotment, paths] = [this.#tables, this.#allotment, this.#paths];
    this.#threads.start(worker, { slots, tables, allotment, paths });
  }
}

/** Devices that there is a place for: the last places are those of queues. */
export function devicesMax({ tunnelProgram }: DataplaneMemory): number {
  return DEVICES_MAX - (tunnelProgram?.count ?? 0) - FURTHER_QUEUES_MAX;
}
