/**
 * Two ports joined back to back in memory: what is sent at one arrives at the other. For tests and
 * tools; both ends belong to one thread.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { closeDoorbell, createDoorbell, drainDoorbell, ringDoorbell } from "./doorbell.ts";
import type { Port, PortContext } from "./port.ts";

/** Frames that can wait at an end. */
const QUEUE_SIZE = 1024;

/**
 * Makes the two ends. With `carriesOffloads`, super-frames and unfinished checksums pass as they
 * are.
 */
export function createLoopback(
  left: PortContext,
  right: PortContext,
  carriesOffloads = true,
): [LoopbackPort, LoopbackPort] {
  const toLeft = new FrameQueue();
  const toRight = new FrameQueue();
  return [
    new LoopbackPort(left, toLeft, toRight, carriesOffloads),
    new LoopbackPort(right, toRight, toLeft, carriesOffloads),
  ];
}

/** A first-in, first-out of slots. */
class FrameQueue {
  readonly slots = new Int32Array(QUEUE_SIZE);
  head = 0;
  tail = 0;
  isOpen = true;
  readonly doorbell = createDoorbell();

  /** False when there is no room or nobody to receive. */
  push(slot: number): boolean {
    if (!this.isOpen || this.tail - this.head === QUEUE_SIZE) return false;
    this.slots[this.tail++ % QUEUE_SIZE] = slot;
    return true;
  }

  /** The oldest slot, -1 when there is none. */
  pop(): number {
    return this.head === this.tail ? -1 : this.slots[this.head++ % QUEUE_SIZE]!;
  }
}

export class LoopbackPort implements Port {
  readonly descriptors: readonly number[];
  readonly carriesOffloads: boolean;
  readonly #context: PortContext;
  readonly #incoming: FrameQueue;
  readonly #outgoing: FrameQueue;

  constructor(
    context: PortContext,
    incoming: FrameQueue,
    outgoing: FrameQueue,
    carriesOffloads: boolean,
  ) {
    this.descriptors = [incoming.doorbell];
    this.carriesOffloads = carriesOffloads;
    this.#context = context;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
  }

  /** False once either end is closed. */
  get isUp(): boolean {
    return this.#incoming.isOpen && this.#outgoing.isOpen;
  }

  receive(slots: Int32Array, limit: number): number {
    const { index, counters } = this.#context;
    let count = 0;
    let total = 0;
    while (count < limit) {
      const slot = this.#incoming.pop();
      if (slot < 0) break;
      arrive(slot, index);
      total += packet.length(slot);
      slots[count++] = slot;
    }
    if (count < limit && this.#incoming.isOpen) drainDoorbell(this.#incoming.doorbell);
    if (count > 0) counters.countReceived(index, count, total);
    return count;
  }

  transmit(slots: Int32Array, count: number): void {
    const { index, allocator, counters } = this.#context;
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      if (this.#outgoing.push(slot)) {
        counters.countSent(index, 1, packet.length(slot));
      } else {
        counters.countPortDrop(index, DROP[this.isUp ? "device-full" : "device-down"]);
        allocator.give(slot);
      }
    }
    if (this.#outgoing.isOpen) ringDoorbell(this.#outgoing.doorbell);
  }

  reclaim(): boolean {
    return false;
  }

  close(): void {
    if (!this.#incoming.isOpen) return;
    this.#incoming.isOpen = false;
    closeDoorbell(this.#incoming.doorbell);
    for (;;) {
      const slot = this.#incoming.pop();
      if (slot < 0) return;
      this.#context.allocator.give(slot);
    }
  }
}

/** Begins a packet anew: the same frame, with nothing known but its offloads. */
function arrive(slot: number, device: number): void {
  const gsoType = packet.gsoType(slot);
  const gsoSize = packet.gsoSize(slot);
  const checksumStart = packet.checksumStart(slot);
  const checksumOffset = packet.checksumOffset(slot);
  const headerLength = packet.headerLength(slot);
  packet.begin(slot, packet.frameAt(slot), packet.length(slot), device);
  packet.setGsoType(slot, gsoType);
  packet.setGsoSize(slot, gsoSize);
  packet.setChecksumStart(slot, checksumStart);
  packet.setChecksumOffset(slot, checksumOffset);
  packet.setHeaderLength(slot, headerLength);
}
