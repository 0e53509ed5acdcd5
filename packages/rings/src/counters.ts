/**
 * One worker's counters in shared memory, written by that worker only, read by anybody at any time.
 *
 * Numbers are 64-bit floats: exact to 2⁵³, counted without allocation; an aligned 8-byte store does
 * not tear on the machines that we run on, so a reader is at most one batch late.
 *
 *   number  0 …            16 stages × [packets, batches, drops]
 *   then                   one a drop reason: packets
 *   then                   DEVICES_MAX devices × [rxPackets, rxBytes, txPackets, txBytes, drops]
 *   then                   the tunnel, laid out as a device
 *   then                   worker: [loops, sleeps, pushed to rings, popped from rings]
 *   then                   FILLS: loops that took in 1, 2–3, 4–7, … packets
 *   then                   CLOCKS × [packets, batches, nanoseconds], of the loops that were timed
 *   then                   packets that came too early: [held, released, expired, refused]
 */
import { DROP_REASON_COUNT } from "./drop-reason.ts";
import { STAGE_COUNT } from "./stage.ts";

/** Devices that one chassis can serve. */
export const DEVICES_MAX = 256;

const STAGE_NUMBERS = 3;
const DEVICE_NUMBERS = 5;
const REASONS_AT = STAGE_COUNT * STAGE_NUMBERS;
const DEVICES_AT = REASONS_AT + DROP_REASON_COUNT;
const TUNNEL_AT = DEVICES_AT + DEVICES_MAX * DEVICE_NUMBERS;
const WORKER_AT = TUNNEL_AT + DEVICE_NUMBERS;
/** Powers of two of packets that one loop takes in; what is more counts as the last. */
export const FILLS = 12;
/** One for each stage, and one for the fast path. */
export const FAST_PATH_CLOCK = STAGE_COUNT;
const CLOCKS = STAGE_COUNT + 1;
const CLOCK_NUMBERS = 3;
const FILLS_AT = WORKER_AT + 4;
const CLOCKS_AT = FILLS_AT + FILLS;
const EARLY_AT = CLOCKS_AT + CLOCKS * CLOCK_NUMBERS;
const EARLY_NUMBERS = 4;
const NUMBER_COUNT = EARLY_AT + EARLY_NUMBERS;

// What became of packets that came before what they name.
/** They wait for it, or did. */
export const EARLY_HELD = 0;
/** It came, and they went on. */
export const EARLY_RELEASED = 1;
/** It did not come in time. */
export const EARLY_EXPIRED = 2;
/** There was no room to wait. */
export const EARLY_REFUSED = 3;

/** Bytes of shared memory that one worker's counters take. */
export const COUNTERS_SIZE = NUMBER_COUNT * 8;

/** Index to pass as `device` for the tunnel. */
export const TUNNEL_DEVICE = DEVICES_MAX;

export interface DeviceCounts {
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  drops: number;
}

export interface EarlyCounts {
  readonly held: number;
  readonly released: number;
  readonly expired: number;
  readonly refused: number;
}

export class Counters {
  readonly #numbers: Float64Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#numbers = new Float64Array(buffer, 0, NUMBER_COUNT);
  }

  countStage(stage: number, packets: number): void {
    this.#numbers[stage * STAGE_NUMBERS]! += packets;
    this.#numbers[stage * STAGE_NUMBERS + 1]! += 1;
  }

  countDrop(stage: number, reason: number): void {
    this.#numbers[REASONS_AT + reason]! += 1;
    this.#numbers[stage * STAGE_NUMBERS + 2]! += 1;
  }

  /** Drops outside every stage: at a port, the tunnel or a ring. */
  countPortDrop(device: number, reason: number, packets = 1): void {
    this.#numbers[REASONS_AT + reason]! += packets;
    if (device >= 0) this.#numbers[DEVICES_AT + device * DEVICE_NUMBERS + 4]! += packets;
  }

  countReceived(device: number, packets: number, bytes: number): void {
    this.#numbers[DEVICES_AT + device * DEVICE_NUMBERS]! += packets;
    this.#numbers[DEVICES_AT + device * DEVICE_NUMBERS + 1]! += bytes;
  }

  countSent(device: number, packets: number, bytes: number): void {
    this.#numbers[DEVICES_AT + device * DEVICE_NUMBERS + 2]! += packets;
    this.#numbers[DEVICES_AT + device * DEVICE_NUMBERS + 3]! += bytes;
  }

  countLoop(): void {
    this.#numbers[WORKER_AT]! += 1;
  }

  /** A loop that took in `packets`, at least one. */
  countFill(packets: number): void {
    this.#numbers[FILLS_AT + Math.min(FILLS - 1, 31 - Math.clz32(packets))]! += 1;
  }

  /** A batch whose way through a stage, or the fast path, was timed. */
  countTime(clock: number, packets: number, nanoseconds: number): void {
    const at = CLOCKS_AT + clock * CLOCK_NUMBERS;
    this.#numbers[at]! += packets;
    this.#numbers[at + 1]! += 1;
    this.#numbers[at + 2]! += nanoseconds;
  }

  countSleep(): void {
    this.#numbers[WORKER_AT + 1]! += 1;
  }

  countPushed(packets: number): void {
    this.#numbers[WORKER_AT + 2]! += packets;
  }

  countPopped(packets: number): void {
    this.#numbers[WORKER_AT + 3]! += packets;
  }

  /** `what` is EARLY_HELD, EARLY_RELEASED, EARLY_EXPIRED or EARLY_REFUSED. */
  countEarly(what: number): void {
    this.#numbers[EARLY_AT + what]! += 1;
  }

  early(): EarlyCounts {
    const numbers = this.#numbers;
    return {
      held: numbers[EARLY_AT + EARLY_HELD]!,
      released: numbers[EARLY_AT + EARLY_RELEASED]!,
      expired: numbers[EARLY_AT + EARLY_EXPIRED]!,
      refused: numbers[EARLY_AT + EARLY_REFUSED]!,
    };
  }

  stage(stage: number): { packets: number; batches: number; drops: number } {
    const at = stage * STAGE_NUMBERS;
    const numbers = this.#numbers;
    return { packets: numbers[at]!, batches: numbers[at + 1]!, drops: numbers[at + 2]! };
  }

  dropped(reason: number): number {
    return this.#numbers[REASONS_AT + reason]!;
  }

  device(device: number): DeviceCounts {
    const at = DEVICES_AT + device * DEVICE_NUMBERS;
    const numbers = this.#numbers;
    return {
      rxPackets: numbers[at]!,
      rxBytes: numbers[at + 1]!,
      txPackets: numbers[at + 2]!,
      txBytes: numbers[at + 3]!,
      drops: numbers[at + 4]!,
    };
  }

  worker(): { loops: number; sleeps: number; pushed: number; popped: number } {
    const numbers = this.#numbers;
    return {
      loops: numbers[WORKER_AT]!,
      sleeps: numbers[WORKER_AT + 1]!,
      pushed: numbers[WORKER_AT + 2]!,
      popped: numbers[WORKER_AT + 3]!,
    };
  }

  /** Loops by the packets that they took in: 1, 2–3, 4–7, … */
  fills(): number[] {
    return [...this.#numbers.subarray(FILLS_AT, FILLS_AT + FILLS)];
  }

  clock(clock: number): { packets: number; batches: number; nanoseconds: number } {
    const at = CLOCKS_AT + clock * CLOCK_NUMBERS;
    const numbers = this.#numbers;
    return { packets: numbers[at]!, batches: numbers[at + 1]!, nanoseconds: numbers[at + 2]! };
  }
}
