/**
 * What a stage works with: the tables of the batch's generation, the counters, and the outlets
 * where packets go that leave the batch. One a worker; only that worker touches it.
 */
import { BUCKET_COUNT, bucketOf, HELD, WORKERS_MAX } from "@rhone/rings/buckets";
import type { Counters } from "@rhone/rings/counters";
import { DEVICES_MAX } from "@rhone/rings/counters";
import { DeviceFences } from "@rhone/rings/device-fences";
import { DeviceQueues } from "@rhone/rings/device-queues";
import { DROP } from "@rhone/rings/drop-reason";
import { KnowledgeTime } from "@rhone/rings/knowledge-time";
import * as packet from "@rhone/rings/packet";
import { PickUpWindow } from "@rhone/rings/pick-up-window";
import { LARGE_FRAME_MAX, SMALL_FRAME_MAX } from "@rhone/rings/pool";
import * as poolMemory from "@rhone/rings/pool-memory";
import type { RuleCounters } from "@rhone/rings/rule-counters";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import { Fragments } from "@rhone/tables/fragments";
import type { Tables } from "@rhone/tables/generation";
import { Meter } from "./meter.ts";
import { Walkers } from "./walkers.ts";

/** Packets that one batch or outlet holds, copies included. */
export const BATCH_MAX = 1024;

/** Packets on their way through the stages, or waiting at an outlet. */
export class Batch {
  readonly slots = new Int32Array(BATCH_MAX);
  count = 0;

  /** False when the batch is full. */
  add(slot: number): boolean {
    if (this.count === BATCH_MAX) return false;
    this.slots[this.count++] = slot;
    return true;
  }
}

/** Where packets go that leave the batch alive; the worker empties the outlets after each batch. */
export class Outlets {
  /** By device index. */
  readonly devices: readonly Batch[] = Array.from({ length: DEVICES_MAX }, () => new Batch());
  /**
   * By worker, to resume there at the stage in the packet's metadata; what it is to own, but does
   * not yet, waits at its own.
   */
  readonly workers: readonly Batch[] = Array.from({ length: WORKERS_MAX }, () => new Batch());
  /**
   * To other chassis, to resume there; `endpoints[i]` is the endpoint row of `chassis.slots[i]`.
   */
  readonly chassis = new Batch();
  readonly endpoints = new Int32Array(BATCH_MAX);
}

export class Core {
  readonly worker: number;
  readonly counters: Counters;
  readonly allocator: SlotAllocator;
  readonly ruleCounters: RuleCounters;
  readonly outlets = new Outlets();
  /** Limits the answers that a router makes up: ICMP errors and echo replies. */
  readonly replyMeter = new Meter(2000, 500);
  /** Copies made by the running stage; they join the batch when it ends. */
  readonly copies = new Batch();
  /** Packets that begin another way, at the stage in their metadata, when this run has ended. */
  readonly again = new Batch();
  /** Tables of the generation that the running batch belongs to. */
  tables: Tables;
  /** Whether the stages that the running batch passes are timed. */
  isTimed = false;
  /**
   * Milliseconds on a clock that never goes back, of which these are the low 32 bits, signed: only
   * differences mean something. A fraction would be a number on the heap for whoever is handed it.
   * Set once a batch.
   */
  nowMs = 0;
  /** Stage that is running, for the drop counters. */
  stage = 0;
  /** Packets that the running stage passed on unprocessed: they are counted where they resume. */
  handedOver = 0;
  /** Scratch for keys of exact-match tables. */
  readonly key = new Int32Array(8);
  /** First fragments whose later ones are still on their way. */
  readonly fragments: Fragments;
  readonly walkers = new Walkers();
  /** By device index: the generation in which a frame came that activates the device's port. */
  readonly awakenedIn = new Float64Array(DEVICES_MAX).fill(-1);
  /** Told of a device by which such a frame came: a rare event, once a generation. */
  onAwakened: (device: number) => void = () => {};
  /** Until when the chassis knows what the others do. */
  knowledge = new KnowledgeTime();
  /** Whether connections may have been forgotten. */
  pickUp = new PickUpWindow();
  /** Which devices may be used now. */
  fences = new DeviceFences();
  /** By which queues the devices send that have several. */
  queues = new DeviceQueues();
  /**
   * Takes a packet with FLAG_AHEAD that the running stage is to refuse, to judge it again under
   * newer tables. False when it is to be refused now.
   */
  holdRefused: (slot: number) => boolean = () => false;
  /**
   * Takes a later fragment whose first one is not known yet, whose key is in `fragments`, to go on
   * at the running stage when that has come. False when it is to be dropped now.
   */
  holdOrphan: (slot: number) => boolean = () => false;
  /** By bucket: the worker that owns its flows. Changed between two batches only. */
  readonly owners = new Uint8Array(BUCKET_COUNT);
  /** By device index: the worker that has the device. Changed as `owners`. */
  readonly deviceOwners = new Uint8Array(DEVICES_MAX);

  constructor(
    worker: number,
    counters: Counters,
    allocator: SlotAllocator,
    tables: Tables,
    ruleCounters: RuleCounters,
    fragments = new Fragments(),
  ) {
    this.worker = worker;
    this.counters = counters;
    this.allocator = allocator;
    this.tables = tables;
    this.ruleCounters = ruleCounters;
    this.fragments = fragments;
    this.owners.fill(worker);
    this.deviceOwners.fill(worker);
  }

  /** The worker that owns the packet's flow. */
  ownerOf(slot: number): number {
    return this.owners[bucketOf(packet.flowHash(slot))]!;
  }

  /** Whether this worker may touch the state of the packet's flow, if it has one. */
  isOwner(slot: number): boolean {
    return (packet.flags(slot) & packet.FLAG_TRACKED) === 0 || this.ownerOf(slot) === this.worker;
  }

  /** Moves a packet to the outlet of its owner, another worker, to go on there at `stage`. */
  handOver(slot: number, owner: number, stage: number): void {
    packet.setStage(slot, stage);
    if (this.workerOutlet(owner).add(slot)) this.handedOver++;
    else this.drop(slot, DROP["batch-full"]);
  }

  /** The outlet to the owner of something that this worker does not have. */
  workerOutlet(owner: number): Batch {
    return this.outlets.workers[owner === HELD ? this.worker : owner]!;
  }

  /** Lines a packet that was made here up for another run of the pipeline, from `stage` on. */
  goAgain(slot: number, stage: number): void {
    packet.setStage(slot, stage);
    if (!this.again.add(slot)) this.drop(slot, DROP["batch-full"]);
  }

  /** Ends a packet's life under a reason of `DROP`. */
  drop(slot: number, reason: number): void {
    this.counters.countDrop(this.stage, reason);
    this.allocator.give(slot);
  }

  /** A copy of the packet with its metadata, or -1 when no slot is free. */
  copy(slot: number): number {
    const length = packet.length(slot);
    if (length > LARGE_FRAME_MAX) return -1;
    const isSmall = length <= SMALL_FRAME_MAX;
    const copy = isSmall ? this.allocator.takeSmall() : this.allocator.takeLarge();
    if (copy < 0) return -1;
    const from = packet.frameAt(slot);
    const to = packet.defaultFrameAt(copy);
    packet.copyMetadata(slot, copy);
    packet.setFrameAt(copy, to);
    const moved = to - from;
    if (packet.l3At(slot) !== 0) packet.setL3At(copy, packet.l3At(slot) + moved);
    if (packet.l4At(slot) !== 0) packet.setL4At(copy, packet.l4At(slot) + moved);
    poolMemory.copy(to, from, length);
    return copy;
  }
}
