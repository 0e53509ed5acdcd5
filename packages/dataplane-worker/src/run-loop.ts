/**
 * One worker's loop: take in what arrived, run the stages, send off what left, sleep when idle.
 *
 *   poll ports, tunnel and rings → stages → flush → mailbox, when something lies there → sleep
 *
 * It blocks its thread on purpose: nothing else runs there. The control thread reaches it by the
 * mailbox, and rings its doorbell when it sleeps.
 */
import { drainDoorbell, type Poller } from "@rhone/netio/doorbell";
import type { Port, Tunnel } from "@rhone/netio/port";
import { BATCH_MAX, Batch, type Core } from "@rhone/pipeline-stages/core";
import { fastPath } from "@rhone/pipeline-stages/fast-path";
import { DELIVERY, sendOff } from "@rhone/pipeline-stages/output";
import { GOES_ON } from "@rhone/pipeline-stages/parse";
import { Arrivals, runPipeline, STAGES } from "@rhone/pipeline-stages/pipeline";
import type { BegunEdition } from "@rhone/rings/begun-edition";
import { BUCKET_COUNT } from "@rhone/rings/buckets";
import { FAST_PATH_CLOCK } from "@rhone/rings/counters";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import * as poolMemory from "@rhone/rings/pool-memory";
import type { RingConsumer } from "@rhone/rings/ring";
import type { WorkerStatus } from "@rhone/rings/worker-status";
import { sweep } from "@rhone/tables/connections";
import type { HandOver } from "./bucket-hand-over.ts";
import type { Departures } from "./departures.ts";
import type { EarlyPackets } from "./early-packets.ts";
import { readRingPacket, readTunnelPacket } from "./hand-off.ts";
import type { HeldPackets } from "./held-packets.ts";
import type { OrphanFragments } from "./orphan-fragments.ts";
import { GENERATIONS_HELD, type TableHistory } from "./table-history.ts";

/** Packets taken from one port or ring in one loop. */
const RECEIVE_MAX = 64;
/** Loops without work before the worker sleeps. */
const SPINS = 4;
/** Loops that a tunnel which had nothing is left alone while ports have work: asking is a call. */
const TUNNEL_PAUSE = 3;
/** Longest sleep, in milliseconds: nothing depends on it but a bound for the unforeseen. */
const SLEEP_MS = 1000;
const SLEEP_IN_FLIGHT_MS = 1;
/** While packets wait for tables or fragments: what comes rings, but the time ends silently. */
const SLEEP_EARLY_MS = 5;
/** One loop of so many is timed, stage by stage: reading the clock takes as long as a packet. */
const TIMED_LOOPS = 64;
/** How often connections are looked through, and how many of each bucket. */
const SWEEP_MS = 100;
const SWEEP_ENTRIES = 16;

export interface LoopParts {
  readonly core: Core;
  readonly history: TableHistory;
  /** Of the chassis. */
  readonly begun: BegunEdition;
  readonly departures: Departures;
  readonly underlay: Tunnel;
  /** From the other workers. */
  readonly rings: readonly RingConsumer[];
  readonly handOver: HandOver;
  readonly held: HeldPackets;
  readonly early: EarlyPackets;
  readonly orphans: OrphanFragments;
  readonly status: WorkerStatus;
  readonly doorbell: number;
  /** From this thread's `performance.now()` to the chassis's clock. */
  readonly clockOffsetMs: number;
  readonly poller: Poller;
  /** Open ports; changes as devices come and go. */
  readonly open: readonly Port[];
  /** Ports that the tunnel goes by: they are the tunnel's to receive from. */
  readonly tunnelPorts: readonly Port[];
  /** Handles the messages in the mailbox; false when the worker shall end. */
  drainMailbox(): boolean;
  /** Told when packets begin under other tables than before. */
  onBegun(edition: number): void;
  /** Told about a port whose device is gone; takes it out of `open`. */
  onPortDown(port: Port): void;
}

export class RunLoop {
  readonly #parts: LoopParts;
  readonly #received = new Int32Array(BATCH_MAX);
  readonly #running = new Batch();
  /** By the age of their tables. */
  readonly #arrivals = Array.from(
    { length: GENERATIONS_HELD },
    () => new Arrivals(STAGES.map(() => new Batch())),
  );
  /** The oldest age that packets have come of in this loop; -1 while none have. */
  #oldestAge = -1;
  /** What was read of `begun` last. */
  #begunSeen = -1;
  #loops = 0;
  #sweepAtMs = 0;
  #tunnelPause = 0;
  readonly #arriveWaiting = (slot: number, reason: number): void => this.#arrive(slot, reason);

  constructor(parts: LoopParts) {
    this.#parts = parts;
  }

  /** Runs until the mailbox says stop. */
  run(): void {
    const { status, clockOffsetMs } = this.#parts;
    let mailSeen = -1;
    let idle = 0;
    for (;;) {
      const mail = status.mail();
      if (mail !== mailSeen) {
        mailSeen = mail;
        if (!this.#parts.drainMailbox()) return;
      }
      const received = this.turn((performance.now() + clockOffsetMs) | 0);
      idle = received > 0 ? 0 : idle + 1;
      const isInFlight = this.#reclaim();
      if (idle > SPINS) this.#sleep(mailSeen, isInFlight);
    }
  }

  /**
   * Takes in what has arrived, runs the stages and sends off; returns how many packets came.
   * `nowMs` is as in Core.
   */
  turn(nowMs: number): number {
    const { core, departures } = this.#parts;
    core.nowMs = nowMs;
    this.#parts.history.expire(nowMs);
    core.counters.countLoop();
    core.allocator.collect();
    if (this.#parts.early.count > 0) this.#resumeEarly();
    if (this.#parts.orphans.count > 0) this.#resumeOrphans();
    if (this.#parts.handOver.step()) this.#resumeHeld();
    const received = this.#receive();
    if (received === 0) this.#tunnelPause = 0;
    if (received > 0) {
      core.counters.countFill(received);
      core.isTimed = this.#loops++ % TIMED_LOOPS === 0;
      this.#process();
      departures.flush();
    }
    core.allocator.flush();
    if (((nowMs - this.#sweepAtMs) | 0) >= 0) this.#sweepConnections();
    return received;
  }

  /** From now on packets begin under other tables, here as in the whole chassis. */
  #begin(): void {
    const { core, history, begun, status, onBegun } = this.#parts;
    const edition = begun.get();
    // One that has just started may not have been given them yet.
    if (!history.begin(edition)) return;
    this.#begunSeen = edition;
    status.setBegun(edition);
    core.tables = history.begun;
    onBegun(edition);
  }

  #receive(): number {
    const { open, history, begun } = this.#parts;
    let received = this.#receiveTunnel() + this.#receiveRings();
    // Behind the rings: of a flow that came there under new tables, nothing may begin under old
    // ones now. Whoever pushed it had seen the word before.
    if (begun.get() !== this.#begunSeen) this.#begin();
    const first = this.#arrivals[history.begunAge]!.stages[0]!;
    for (let i = 0; i < open.length; i++) {
      const limit = Math.min(RECEIVE_MAX, BATCH_MAX - first.count);
      const count = this.#behindFence(open[i]!.receive(this.#received, limit));
      for (let k = 0; k < count; k++) first.slots[first.count++] = this.#received[k]!;
      received += count;
    }
    return received;
  }

  /** How many of the frames that have come by one device may come by it. */
  #behindFence(count: number): number {
    const { core } = this.#parts;
    if (count === 0 || !core.fences.isShut(packet.device(this.#received[0]!), core.nowMs)) {
      return count;
    }
    for (let i = 0; i < count; i++) {
      core.counters.countPortDrop(packet.device(this.#received[i]!), DROP["gateway-fenced"]);
      core.allocator.give(this.#received[i]!);
    }
    return 0;
  }

  #receiveTunnel(): number {
    if (this.#tunnelPause > 0) {
      this.#tunnelPause--;
      return 0;
    }
    const { core, early, history, underlay } = this.#parts;
    const count = underlay.receive(this.#received, RECEIVE_MAX);
    if (count === 0) this.#tunnelPause = TUNNEL_PAUSE;
    for (let i = 0; i < count; i++) {
      const slot = this.#received[i]!;
      for (let k = 0; k < 4; k++) core.key[k] = underlay.sources[i * 4 + k]!;
      const reason = readTunnelPacket(history, core, slot);
      if (reason !== GOES_ON && early.hold(slot, reason, underlay.sources, i * 4)) continue;
      this.#arrive(slot, reason);
    }
    return count;
  }

  #receiveRings(): number {
    const { core, rings } = this.#parts;
    let received = 0;
    for (let i = 0; i < rings.length; i++) {
      const count = core.allocator.adoptFrom(rings[i]!, this.#received, RECEIVE_MAX);
      poolMemory.warmSlots(this.#received, count);
      for (let k = 0; k < count; k++) this.#resume(this.#received[k]!);
      received += count;
    }
    core.counters.countPopped(received);
    return received;
  }

  /** Goes on with a packet of a ring; one that has run every stage only wants to be sent. */
  #resume(slot: number): void {
    const { core, history } = this.#parts;
    if (packet.stage(slot) !== DELIVERY) {
      this.#arrive(slot, readRingPacket(history, core, slot));
      return;
    }
    core.stage = DELIVERY;
    sendOff(core, slot, packet.device(slot));
  }

  /** What waited for tables that name what it names goes before what comes from now on. */
  #resumeEarly(): void {
    const { departures, early } = this.#parts;
    if (early.turn(this.#arriveWaiting) === 0) return;
    this.#process();
    departures.flush();
  }

  /** Fragments whose first one has passed in the meantime follow it. */
  #resumeOrphans(): void {
    const { departures, orphans } = this.#parts;
    if (orphans.turn(this.#arriveWaiting) === 0) return;
    this.#process();
    departures.flush();
  }

  /** What waited for this worker to own it goes before everything that comes from now on. */
  #resumeHeld(): void {
    const { departures, held } = this.#parts;
    held.take();
    for (;;) {
      const count = held.next(this.#received);
      if (count === 0) return;
      for (let i = 0; i < count; i++) this.#resume(this.#received[i]!);
      this.#process();
      departures.flush();
    }
  }

  /** Lines a packet that was just read up for its stage, among those of its tables. */
  #arrive(slot: number, reason: number): void {
    const { core, history } = this.#parts;
    if (reason !== GOES_ON) {
      core.counters.countPortDrop(-1, reason);
      core.allocator.give(slot);
      return;
    }
    const age = history.foundAge;
    if (age > this.#oldestAge) this.#oldestAge = age;
    // Never full: one loop takes in less than a batch from the tunnel and the rings together.
    this.#arrivals[age]!.stages[packet.stage(slot)]!.add(slot);
  }

  /** The oldest first: of one flow, they came first. */
  #process(): void {
    const { core, departures, history } = this.#parts;
    const { begunAge } = history;
    for (let age = Math.max(this.#oldestAge, begunAge); age >= 0; age--) {
      if (age !== begunAge && this.#arrivals[age]!.count() === 0) continue;
      core.tables = history.at(age)!;
      if (age === begunAge) this.#runFastPath(this.#arrivals[age]!);
      runPipeline(core, this.#arrivals[age]!, this.#running);
      // What is at the outlets leaves as these tables say; the last ones are flushed by who called.
      if (age > 0 || begunAge > 0) departures.flush();
    }
    this.#oldestAge = -1;
    core.tables = history.begun;
  }

  #runFastPath(arrivals: Arrivals): void {
    if (this.#parts.core.isTimed) this.#timeFastPath(arrivals);
    else fastPath(this.#parts.core, arrivals);
  }

  #timeFastPath(arrivals: Arrivals): void {
    const { core } = this.#parts;
    const before = arrivals.count();
    const startedAtMs = performance.now();
    fastPath(core, arrivals);
    const packets = before - arrivals.count();
    if (packets === 0) return;
    core.counters.countTime(FAST_PATH_CLOCK, packets, (performance.now() - startedAtMs) * 1e6);
  }

  /** Forgets connections that ran out, so that a table which nobody asks gets empty, too. */
  #sweepConnections(): void {
    const { core } = this.#parts;
    this.#sweepAtMs = (core.nowMs + SWEEP_MS) | 0;
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
      if (core.owners[bucket] === core.worker) sweep(bucket, SWEEP_ENTRIES, core.nowMs);
    }
  }

  /** True while the kernel still holds frames of ours. */
  #reclaim(): boolean {
    const { open, tunnelPorts, underlay } = this.#parts;
    let isInFlight = underlay.reclaim();
    for (let i = 0; i < open.length; i++) {
      if (open[i]!.reclaim()) isInFlight = true;
      if (!open[i]!.isUp) this.#parts.onPortDown(open[i]!);
    }
    for (let i = 0; i < tunnelPorts.length; i++) {
      if (tunnelPorts[i]!.reclaim()) isInFlight = true;
      if (!tunnelPorts[i]!.isUp) this.#parts.onPortDown(tunnelPorts[i]!);
    }
    return isInFlight;
  }

  #sleep(mailSeen: number, isInFlight: boolean): void {
    const { core, early, orphans, status, rings, handOver, poller, doorbell, begun } = this.#parts;
    status.setSleeping(true);
    // After the store above: whoever pushes from now on sees it and rings.
    let mustStay = status.mail() !== mailSeen || begun.get() !== this.#begunSeen;
    for (let i = 0; i < rings.length; i++) if (!rings[i]!.isEmpty()) mustStay = true;
    if (!mustStay) {
      core.counters.countSleep();
      const longestMs = early.count + orphans.count > 0 ? SLEEP_EARLY_MS : SLEEP_MS;
      poller.poll(isInFlight || handOver.isBusy ? SLEEP_IN_FLIGHT_MS : longestMs);
      drainDoorbell(doorbell);
    }
    status.setSleeping(false);
  }
}
