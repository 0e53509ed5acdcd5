/**
 * By which queue a flow's frames leave a device that has several, in shared memory: written by the
 * control thread, read by the workers. By device, and by four bits of the flow's hash:
 *
 *   byte   device index of the queue, which is allotted to a worker as a device is: at first the
 *          device's own, which stands for the first queue
 *
 * A flow's frames leave by one queue, whoever sends them: they cannot overtake each other.
 */
import { DEVICES_MAX } from "./counters.ts";

const PLACES_SHIFT = 4;
/** Queues of a device that can be used. */
export const DEVICE_QUEUES_MAX = 1 << PLACES_SHIFT;
/** Others than those of the bucket: a worker's flows leave by all queues. */
const HASH_SHIFT = 20;

/** Bytes of shared memory that they take. */
export const DEVICE_QUEUES_SIZE = DEVICES_MAX << PLACES_SHIFT;

if (DEVICES_MAX > 256) throw new RangeError("expected device indices of a byte");

export class DeviceQueues {
  readonly #places: Uint8Array;

  /** The memory of all devices, which have one queue each at first. */
  static create(): SharedArrayBuffer {
    const buffer = new SharedArrayBuffer(DEVICE_QUEUES_SIZE);
    const queues = new DeviceQueues(buffer);
    for (let device = 0; device < DEVICES_MAX; device++) queues.set(device, [device]);
    return buffer;
  }

  constructor(buffer = DeviceQueues.create()) {
    this.#places = new Uint8Array(buffer, 0, DEVICE_QUEUES_SIZE);
  }

  /** The device sends by the queues with these device indices, one at least. */
  set(device: number, queues: readonly number[]): void {
    const at = device << PLACES_SHIFT;
    for (let i = 0; i < DEVICE_QUEUES_MAX; i++) this.#places[at + i] = queues[i % queues.length]!;
  }

  /** The device index of the queue that sends a flow's frames. */
  indexOf(device: number, flowHash: number): number {
    const bits = (flowHash >>> HASH_SHIFT) & (DEVICE_QUEUES_MAX - 1);
    return this.#places[(device << PLACES_SHIFT) | bits]!;
  }
}
