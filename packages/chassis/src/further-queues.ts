/**
 * Queues of devices beyond the first, as the control thread sees them: each has a device index of
 * its own, and is allotted to a worker, moves and outlives a worker as a device does. A device
 * sends by them from when all of them are served until one of them is not.
 */
import { closePort, type PortState } from "@rhone/netio/movable-port";
import type { DeviceQueues } from "@rhone/rings/device-queues";
import type { PortLedger } from "./port-ledger.ts";

/** Device indices for them: a device that finds none left has fewer queues. */
export const FURTHER_QUEUES_MAX = 64;

interface FurtherQueue {
  readonly device: number;
  readonly name: string;
  isServed: boolean;
}

export class FurtherQueues {
  readonly #ledger: PortLedger;
  readonly #shared: DeviceQueues;
  readonly #first: number;
  /** By index. */
  readonly #queues = new Map<number, FurtherQueue>();
  /** Indices that a worker has yet to close. */
  readonly #leaving = new Set<number>();
  /** Devices that send by their first queue alone. */
  readonly #narrow = new Set<number>();

  /** They have the device indices from `first` on. */
  constructor(ledger: PortLedger, shared: DeviceQueues, first: number) {
    this.#ledger = ledger;
    this.#shared = shared;
    this.#first = first;
  }

  /** Of a device that is fenced only the first queue sends: the fence is of its index. */
  setNarrow(device: number, isNarrow: boolean): void {
    if (isNarrow) this.#narrow.add(device);
    else this.#narrow.delete(device);
  }

  /** A device was opened that has these as well; null: nobody wants it any more. */
  take(device: number, name: string | null, further: readonly PortState[]): void {
    for (const [i, state] of further.entries()) {
      const index = name === null ? -1 : this.#freeIndex();
      if (index < 0 || name === null) {
        closePort(state);
        continue;
      }
      this.#queues.set(index, { device, name: `${name} queue ${i + 1}`, isServed: false });
      this.#ledger.want(index, name, state.driver);
      this.#ledger.get(index)!.state = state;
    }
  }

  /** A worker has begun to serve a port. */
  serve(index: number): void {
    const queue = this.#queues.get(index);
    if (queue === undefined) return;
    queue.isServed = true;
    this.#spread(queue.device);
  }

  /** A worker has a port no more, and nobody is to go on with it. */
  lose(index: number): void {
    this.#leaving.delete(index);
    const queue = this.#queues.get(index);
    if (queue === undefined) return;
    this.#shared.set(queue.device, [queue.device]);
    this.#queues.delete(index);
    this.#ledger.delete(index);
  }

  /** Takes those of a device from it: to be closed, with `close`, when nothing moves. */
  takeFrom(device: number): number[] {
    const indices = this.#indicesOf(device);
    this.#shared.set(device, [device]);
    for (const index of indices) {
      this.#queues.delete(index);
      this.#leaving.add(index);
    }
    return indices;
  }

  /** The worker that has to close a queue which was taken from its device; null: it is closed. */
  close(index: number): number | null {
    const holder = this.#ledger.close(index);
    if (holder === null) this.#leaving.delete(index);
    return holder;
  }

  /** Names by index. */
  names(): ReadonlyMap<number, string> {
    return new Map([...this.#queues].map(([index, { name }]) => [index, name]));
  }

  #spread(device: number): void {
    const indices = this.#indicesOf(device);
    const areServed = indices.every((index) => this.#queues.get(index)!.isServed);
    if (areServed && !this.#narrow.has(device)) this.#shared.set(device, [device, ...indices]);
  }

  #indicesOf(device: number): number[] {
    return [...this.#queues].filter(([, queue]) => queue.device === device).map(([index]) => index);
  }

  #freeIndex(): number {
    for (let index = this.#first; index < this.#first + FURTHER_QUEUES_MAX; index++) {
      if (!this.#queues.has(index) && !this.#leaving.has(index)) return index;
    }
    return -1;
  }
}
