/**
 * Empties a worker's outlets after each batch: frames to devices, packets to other workers, and
 * stamped to other chassis. What cannot leave is dropped under a named reason.
 */
import { ringDoorbell } from "@rhone/netio/doorbell";
import type { Port, Tunnel } from "@rhone/netio/port";
import { finishChecksum, MALFORMED, segmentHeadersInto, segmentInto } from "@rhone/netio/segment";
import type { Batch, Core } from "@rhone/pipeline-stages/core";
import { BATCH_MAX } from "@rhone/pipeline-stages/core";
import { DELIVERY } from "@rhone/pipeline-stages/output";
import { GOES_ON } from "@rhone/pipeline-stages/parse";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { SMALL_FRAME_MAX } from "@rhone/rings/pool";
import type { RingProducer } from "@rhone/rings/ring";
import { POST_ROUTING } from "@rhone/rings/stage";
import type { WorkerStatus } from "@rhone/rings/worker-status";
import * as resume from "@rhone/wire/resume";
import { dropExcess } from "./drop-excess.ts";
import { copyStamp, includeStamp, readyForRing, writeStamp } from "./hand-off.ts";
import { writeTag } from "./stamp-tag.ts";

/** Segments that one super-frame may become: 64 KiB in segments of 64 bytes of payload. */
const SEGMENTS_MAX = 1024;

/** How to reach another worker of this chassis. */
export interface Neighbour {
  readonly ring: RingProducer;
  readonly status: WorkerStatus;
  readonly doorbell: number;
}

export class Departures {
  readonly #core: Core;
  readonly #ports: readonly (Port | null)[];
  readonly #neighbours: readonly (Neighbour | null)[];
  readonly #underlay: Tunnel;
  readonly #ready = new Int32Array(BATCH_MAX + SEGMENTS_MAX);
  readonly #segments = new Int32Array(SEGMENTS_MAX);
  readonly #destinations = new Int32Array((BATCH_MAX + SEGMENTS_MAX) * 4);
  #readyCount = 0;

  /**
   * `ports` by device index, which change as devices come and go; `neighbours` by worker, our own
   * ring among them for what waits here.
   */
  constructor(
    core: Core,
    ports: readonly (Port | null)[],
    neighbours: readonly (Neighbour | null)[],
    underlay: Tunnel,
  ) {
    this.#core = core;
    this.#ports = ports;
    this.#neighbours = neighbours;
    this.#underlay = underlay;
  }

  /** Sends everything that waits at the outlets. */
  flush(): void {
    const { devices, workers, chassis } = this.#core.outlets;
    for (let index = 0; index < devices.length; index++) {
      if (devices[index]!.count !== 0) this.#flushDevice(index, devices[index]!);
    }
    for (let worker = 0; worker < workers.length; worker++) {
      if (workers[worker]!.count !== 0) this.#flushWorker(worker, workers[worker]!);
    }
    if (chassis.count !== 0) this.#flushChassis(chassis);
  }

  #flushDevice(index: number, batch: Batch): void {
    const port = this.#ports[index]!;
    this.#core.stage = DELIVERY;
    if (port === null || !port.isUp) this.#dropAll(batch, DROP["device-down"]);
    else if (this.#core.fences.isShut(index, this.#core.nowMs)) {
      this.#dropAll(batch, DROP["gateway-fenced"]);
    } else if (port.carriesOffloads) {
      port.transmit(batch.slots, batch.count);
    } else {
      for (let i = 0; i < batch.count; i++) {
        this.#makeReady(batch.slots[i]!);
        if (this.#readyCount >= BATCH_MAX) this.#transmitReady(port);
      }
      this.#transmitReady(port);
    }
    batch.count = 0;
  }

  #dropAll({ slots, count }: Batch, reason: number): void {
    for (let i = 0; i < count; i++) this.#core.drop(slots[i]!, reason);
  }

  #transmitReady(port: Port): void {
    if (this.#readyCount !== 0) port.transmit(this.#ready, this.#readyCount);
    this.#readyCount = 0;
  }

  #flushWorker(worker: number, batch: Batch): void {
    const core = this.#core;
    const { ring, status, doorbell } = this.#neighbours[worker]!;
    const { slots } = batch;
    // Those before what begins there it may have let go of by the time that it looks.
    const { edition } = core.tables;
    const isHeld = edition <= status.adopted() && edition >= status.begun();
    let ready = 0;
    for (let i = 0; i < batch.count; i++) {
      const slot = slots[i]!;
      core.stage = packet.stage(slot);
      const isDelivery = core.stage === DELIVERY;
      const reason = isDelivery ? GOES_ON : readyForRing(core.tables, slot, isHeld);
      if (reason === GOES_ON) slots[ready++] = slot;
      else core.drop(slot, reason);
    }
    const excess = ready - ring.room(ready);
    if (excess > 0) {
      const full = worker === core.worker ? DROP["hand-over-full"] : DROP["ring-full"];
      ready = dropExcess(core, slots, ready, excess, full);
    }
    const pushed = ring.push(slots, 0, ready);
    core.counters.countPushed(pushed);
    if (pushed > 0 && status.isSleeping()) ringDoorbell(doorbell);
    batch.count = 0;
  }

  #flushChassis(batch: Batch): void {
    const core = this.#core;
    const { endpoints } = core.outlets;
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.slots[i]!;
      core.stage = packet.stage(slot);
      const reason = writeStamp(core.tables, slot, reasonOf(slot));
      if (reason !== GOES_ON) {
        core.drop(slot, reason);
        continue;
      }
      if (packet.gsoType(slot) !== 0) {
        this.#sendSuperFrame(slot, endpoints[i]!);
        continue;
      }
      const first = this.#readyCount;
      this.#makeReady(slot);
      if (this.#readyCount === first) continue;
      includeStamp(this.#ready[first]!);
      writeTag(core.tables, this.#ready[first]!, endpoints[i]!);
      core.tables.endpoints.copyAddress(endpoints[i]!, this.#destinations, first * 4);
      if (this.#readyCount >= BATCH_MAX) this.#sendReady();
    }
    this.#sendReady();
    batch.count = 0;
  }

  #sendReady(): void {
    if (this.#readyCount !== 0) {
      this.#underlay.transmit(this.#ready, this.#readyCount, this.#destinations);
    }
    this.#readyCount = 0;
  }

  /** Sends a super-frame as its segments; only their headers are written, no payload is copied. */
  #sendSuperFrame(slot: number, endpoint: number): void {
    const core = this.#core;
    const segments = this.#segments;
    this.#sendReady(); // Some of them may belong in front of it.
    const count = segmentHeadersInto(slot, core.allocator, segments);
    if (count < 0) {
      this.#dropUncut(slot, count);
      return;
    }
    for (let i = 0; i < count; i++) {
      copyStamp(slot, segments[i]!);
      includeStamp(segments[i]!);
      writeTag(core.tables, segments[i]!, endpoint);
    }
    const headersSize = packet.headerLength(slot);
    core.tables.endpoints.copyAddress(endpoint, this.#destinations, 0);
    this.#underlay.transmitSegments(
      segments,
      count,
      headersSize + resume.HEADER_SIZE,
      packet.frameAt(slot) + headersSize,
      this.#destinations,
    );
    core.allocator.give(slot);
  }

  /** Adds the packet to the ready ones, cut into segments and with its checksum finished. */
  #makeReady(slot: number): void {
    const core = this.#core;
    if (packet.gsoType(slot) !== 0) {
      this.#cut(slot);
      return;
    }
    if (packet.checksumStart(slot) !== 0) finishChecksum(slot);
    if (!core.allocator.isLarge(slot)) {
      this.#ready[this.#readyCount++] = slot;
      return;
    }
    const copy = packet.length(slot) <= SMALL_FRAME_MAX ? core.copy(slot) : -1;
    if (copy < 0) {
      core.drop(slot, DROP["too-big"]);
      return;
    }
    copyStamp(slot, copy);
    core.allocator.give(slot);
    this.#ready[this.#readyCount++] = copy;
  }

  #cut(slot: number): void {
    const core = this.#core;
    const count = segmentInto(slot, core.allocator, this.#segments);
    if (count < 0) {
      this.#dropUncut(slot, count);
      return;
    }
    // The super-frame's slot is free again, but nobody else has run since: its stamp still stands.
    for (let i = 0; i < count; i++) {
      copyStamp(slot, this.#segments[i]!);
      this.#ready[this.#readyCount++] = this.#segments[i]!;
    }
  }

  #dropUncut(slot: number, failure: number): void {
    const isMalformed = failure === MALFORMED;
    this.#core.drop(slot, isMalformed ? DROP["segmentation-failed"] : DROP["pool-exhausted"]);
  }
}

/** Why a packet goes to another chassis: to its port, or to where a stage runs, and back. */
function reasonOf(slot: number): number {
  const flags = packet.flags(slot);
  if ((flags & packet.FLAG_DENIED) !== 0) return resume.REASON_DENIED;
  const isAnswer = (flags & packet.FLAG_REPLY_TO_INGRESS) !== 0;
  if (isAnswer && (flags & packet.FLAG_FROM_RULE) !== 0) return resume.REASON_RULE_ANSWER;
  if (isAnswer) return resume.REASON_ANSWER;
  return packet.stage(slot) === POST_ROUTING ? resume.REASON_EGRESS : resume.REASON_PLACEMENT;
}
