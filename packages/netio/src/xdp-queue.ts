/**
 * One queue of a device, served by an AF_XDP socket with its four rings: what the kernel has of our
 * slots, and what comes of them. Run by the worker that owns the port.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { SLOT_SHIFT } from "@rhone/rings/pool";
import * as poolMemory from "@rhone/rings/pool-memory";
import { MessageVector } from "./message-vector.ts";
import type { XdpQueueState } from "./movable-port.ts";
import * as native from "./native.ts";
import { Overruns } from "./overruns.ts";
import type { PortContext } from "./port.ts";
import { XdpRing } from "./xdp-ring.ts";
import { bindXdpSocket, closeXdpSocket, openXdpSocket, type XdpRings } from "./xdp-socket.ts";

/** Frames that the kernel sends in one call, in copy mode. */
const KICK_FRAMES = 32;

/** Sends nothing: a call with it makes the kernel look at the tx ring. */
const kick = new MessageVector({
  count: 1,
  buffersPerMessage: 0,
  hasNames: false,
  controlSize: 0,
});

/**
 * Opens a socket and binds it to a queue. `sharer` is one that is bound already and whose UMEM this
 * one shares; null: it has its own. Throws NativeError, with the queue's number.
 */
export function openXdpQueue(
  device: number,
  queue: number,
  ringSize: number,
  sharer: number | null,
): XdpQueueState {
  const { descriptor, rings } = openXdpSocket(ringSize, sharer !== null);
  try {
    bindXdpSocket(descriptor, device, queue, sharer);
  } catch (error) {
    closeXdpSocket(descriptor, rings);
    throw error;
  }
  return { queue, descriptor, rings: statesOf(rings), filling: 0, sending: 0, overruns: null };
}

export class XdpQueue {
  readonly descriptor: number;
  readonly #queue: number;
  readonly #rings: XdpRings;
  readonly #context: PortContext;
  readonly #outerSize: number;
  /** Of the port: marks each small slot that the kernel has. */
  readonly #isLent: Uint8Array;
  readonly #fillMax: number;
  readonly #overruns: Overruns;
  /** Slots lent to receive into, and frames lent to send. */
  #filling: number;
  #sending: number;

  /** Lends the kernel up to `fillMax` slots to receive into. */
  constructor(state: XdpQueueState, context: PortContext, isLent: Uint8Array, fillMax: number) {
    const { descriptor, rings, overruns } = state;
    this.descriptor = descriptor;
    this.#queue = state.queue;
    this.#rings = {
      fill: new XdpRing(rings.fill),
      completion: new XdpRing(rings.completion),
      rx: new XdpRing(rings.rx),
      tx: new XdpRing(rings.tx),
    };
    this.#context = context;
    this.#outerSize = context.outerSize ?? 0;
    this.#isLent = isLent;
    this.#fillMax = fillMax;
    this.#filling = state.filling;
    this.#sending = state.sending;
    this.#overruns = new Overruns(descriptor, true, context.index, context.counters, overruns);
    this.refill();
  }

  get lent(): number {
    return this.#filling + this.#sending;
  }

  /** Whether frames are on their way out. */
  get isSending(): boolean {
    return this.#sending > 0;
  }

  /** What another thread goes on with; who is about to end it knows the overruns, others do not. */
  state(isEnding: boolean): XdpQueueState {
    return {
      ...{ queue: this.#queue, descriptor: this.descriptor, rings: statesOf(this.#rings) },
      ...{ filling: this.#filling, sending: this.#sending },
      overruns: isEnding ? this.#overruns.seen : null,
    };
  }

  /** Fills `slots[at..at + n)` with frames that arrived, n ≤ `limit`, and returns n. */
  receive(slots: Int32Array, at: number, limit: number): number {
    const { rx } = this.#rings;
    const { index, counters } = this.#context;
    const count = rx.available(limit);
    this.#overruns.observe(count, limit);
    if (count === 0) return 0;
    let total = 0;
    for (let i = 0; i < count; i++) {
      const frameAt = rx.address(i);
      const length = rx.length(i);
      const slot = frameAt >>> SLOT_SHIFT;
      this.#isLent[slot] = 0;
      packet.begin(slot, frameAt, length, index);
      slots[at + i] = slot;
      total += length;
    }
    rx.release(count);
    this.#filling -= count;
    counters.countReceived(index, count, total - count * this.#outerSize);
    this.refill();
    return count;
  }

  /** Whether the tx ring takes another frame. */
  hasRoom(): boolean {
    return this.#rings.tx.room() > 0;
  }

  /** Puts frames from `slots[from]` on into the tx ring while there is room; returns how far. */
  put(slots: Int32Array, from: number, count: number): number {
    const { tx } = this.#rings;
    const { index, allocator, counters } = this.#context;
    const room = tx.room();
    let put = 0;
    let total = 0;
    let i = from;
    for (; i < count && put < room; i++) {
      const slot = slots[i]!;
      if (allocator.isLarge(slot)) {
        counters.countPortDrop(index, DROP["frame-too-long"]);
        allocator.give(slot);
        continue;
      }
      const length = packet.length(slot);
      poolMemory.warm(packet.frameAt(slot), length);
      tx.putDescriptor(put++, packet.frameAt(slot), length);
      this.#isLent[slot] = 1;
      total += length;
    }
    if (put === 0) return i;
    tx.publish(put);
    this.#sending += put;
    counters.countSent(index, put, total - put * this.#outerSize);
    return i;
  }

  /** Makes the kernel send what waits in the tx ring; false when the device is down. */
  kick(): boolean {
    const { tx } = this.#rings;
    let calls = Math.ceil(tx.pending() / KICK_FRAMES);
    for (; calls > 0 && tx.needsWakeup(); calls--) {
      if (kick.sendFirst(this.descriptor) === -1) {
        const number = native.errno();
        // Busy or out of buffers: the next kick tries again.
        if (number !== native.EAGAIN) return !native.meansDeviceDown(number);
      }
    }
    return true;
  }

  /** Whether the device still is there: a quiet one looks like one that is gone. */
  probe(): boolean {
    return kick.sendFirst(this.descriptor) !== -1 || !native.meansDeviceDown(native.errno());
  }

  /** Takes back what the kernel has sent. */
  complete(): void {
    const { completion } = this.#rings;
    const { allocator } = this.#context;
    const count = completion.available(this.#sending);
    if (count === 0) return;
    for (let i = 0; i < count; i++) {
      const slot = completion.address(i) >>> SLOT_SHIFT;
      this.#isLent[slot] = 0;
      allocator.give(slot);
    }
    completion.release(count);
    this.#sending -= count;
  }

  /** Lends the kernel slots to receive into. */
  refill(): void {
    const { fill } = this.#rings;
    const { allocator } = this.#context;
    const wanted = this.#fillMax - this.#filling;
    let put = 0;
    for (; put < wanted; put++) {
      const slot = allocator.takeSmall();
      if (slot < 0) break;
      this.#isLent[slot] = 1;
      fill.putAddress(put, slot << SLOT_SHIFT);
    }
    if (put === 0) return;
    fill.publish(put);
    this.#filling += put;
  }

  /** Ends the socket; the slots that were lent are the port's again. */
  close(): void {
    closeXdpSocket(this.descriptor, this.#rings);
    this.forget();
  }

  /** The slots that were lent are somebody else's from now on. */
  forget(): void {
    this.#filling = 0;
    this.#sending = 0;
  }
}

function statesOf({ fill, completion, rx, tx }: XdpRings): XdpQueueState["rings"] {
  return { fill: fill.state, completion: completion.state, rx: rx.state, tx: tx.state };
}
