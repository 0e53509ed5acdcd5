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
 */
import { DROP_REASON_COUNT } from "./drop-reason.ts";

export const STAGE_COUNT = 16;
/** Devices that one chassis can serve. */
export const DEVICES_MAX = 256;

const STAGE_NUMBERS = 3;
const DEVICE_NUMBERS = 5;
const REASONS_AT = STAGE_COUNT * STAGE_NUMBERS;
const DEVICES_AT = REASONS_AT + DROP_REASON_COUNT;
const TUNNEL_AT = DEVICES_AT + DEVICES_MAX * DEVICE_NUMBERS;
const WORKER_AT = TUNNEL_AT + DEVICE_NUMBERS;
const NUMBER_COUNT = WORKER_AT + 4;

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

  /** A drop outside every stage: at a port, the tunnel or a ring. */
  countPortDrop(device: number, reason: number): void {
    this.#numbers[REASONS_AT + reason]! += 1;
    if (device >= 0) this.#numbers[DEVICES_AT + device * DEVICE_NUMBERS + 4]! += 1;
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

  countSleep(): void {
    this.#numbers[WORKER_AT + 1]! += 1;
  }

  countPushed(packets: number): void {
    this.#numbers[WORKER_AT + 2]! += packets;
  }

  countPopped(packets: number): void {
    this.#numbers[WORKER_AT + 3]! += packets;
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
}
