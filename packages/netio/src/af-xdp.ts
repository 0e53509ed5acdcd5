/**
 * A port over AF_XDP: the kernel puts frames into slots of the packet pool and sends from them, and
 * an XDP program takes them before the host's own stack. For many small packets. Run by the worker
 * that owns the port.
 *
 * Frames come and go plain. A sender on the same machine (the other end of a veth) leaves checksums
 * unfinished that XDP does not tell of: switch its transmit checksum offload off.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews, SLOT_SHIFT } from "@rhone/rings/pool";
import * as poolMemory from "@rhone/rings/pool-memory";
import { deviceIndex } from "./device.ts";
import { MessageVector } from "./message-vector.ts";
import type { MovablePort, PortState } from "./movable-port.ts";
import * as native from "./native.ts";
import { Overruns } from "./overruns.ts";
import type { PortContext } from "./port.ts";
import { attachRedirect } from "./xdp-program.ts";
import { XdpRing } from "./xdp-ring.ts";
import { bindXdpSocket, closeXdpSocket, openXdpSocket, type XdpRings } from "./xdp-socket.ts";

export interface AfXdpOptions {
  /** The device's queue to serve; frames of others go to the kernel. */
  readonly queue?: number;
  /** Entries of each ring, a power of two; the port lends the kernel at most so many slots. */
  readonly ringSize?: number;
}

/** Frames that come while the worker waits for a core: 2048 are some 7 ms of 4 Gbit/s. */
const RING_SIZE = 2048;
/** The part of the free slots that a port may keep in the kernel to receive into. */
const FILL_SHARE = 8;
const FILL_MIN = 64;
/** Frames that the kernel sends in one call, in copy mode. */
const KICK_FRAMES = 32;
/** Empty calls of `receive` after which the device is asked whether it still is there. */
const EMPTY_RECEIVES_MAX = 16;

const { libc } = native;
const { smallCount } = poolViews();

/** Sends nothing: a call with it makes the kernel look at the tx ring. */
const kick = new MessageVector({
  count: 1,
  buffersPerMessage: 0,
  hasNames: false,
  controlSize: 0,
});

/** Takes the device over. Throws when it is missing or the kernel refuses. */
export function openAfXdp(
  device: string,
  context: PortContext,
  options: AfXdpOptions = {},
): MovablePort {
  const { queue = 0, ringSize = RING_SIZE } = options;
  const index = deviceIndex(device);
  const { descriptor, rings } = openXdpSocket(ringSize);
  try {
    bindXdpSocket(descriptor, index, queue);
    const program = attachRedirect(index, queue, descriptor);
    return new AfXdpPort({ descriptor, program, ringSize }, rings, context, NOTHING_LENT);
  } catch (error) {
    closeXdpSocket(descriptor, rings);
    throw error;
  }
}

/** Goes on with a port that another thread detached; the slots that the kernel has come along. */
export function adoptAfXdp(state: XdpState, context: PortContext): MovablePort {
  const { fill, completion, rx, tx } = state.rings;
  const rings = {
    fill: new XdpRing(fill),
    completion: new XdpRing(completion),
    rx: new XdpRing(rx),
    tx: new XdpRing(tx),
  };
  for (const slot of state.lent) context.allocator.adopt(slot);
  return new AfXdpPort(state, rings, context, state);
}

type XdpState = Extract<PortState, { driver: "af-xdp" }>;
type Lent = Pick<XdpState, "lent" | "filling" | "sending" | "overruns">;

const NOTHING_LENT: Lent = { lent: [], filling: 0, sending: 0, overruns: 0 };

class AfXdpPort implements MovablePort {
  readonly descriptor: number;
  readonly carriesOffloads = false;
  isUp = true;
  readonly #program: number;
  readonly #ringSize: number;
  readonly #rings: XdpRings;
  readonly #context: PortContext;
  /** Marks each small slot that the kernel has. */
  readonly #isLent = new Uint8Array(smallCount);
  readonly #fillMax: number;
  readonly #overruns: Overruns;
  /** Slots lent to receive into, and frames lent to send. */
  #filling = 0;
  #sending = 0;
  #emptyReceives = 0;
  #isClosed = false;

  constructor(
    { descriptor, program, ringSize }: Pick<XdpState, "descriptor" | "program" | "ringSize">,
    rings: XdpRings,
    context: PortContext,
    { lent, filling, sending, overruns }: Lent,
  ) {
    this.descriptor = descriptor;
    this.#program = program;
    this.#ringSize = ringSize;
    this.#rings = rings;
    this.#context = context;
    for (const slot of lent) this.#isLent[slot] = 1;
    this.#filling = filling;
    this.#sending = sending;
    this.#overruns = new Overruns(descriptor, true, context.index, context.counters, overruns);
    const share = Math.floor(context.allocator.smallFree / FILL_SHARE);
    this.#fillMax = Math.min(ringSize, Math.max(FILL_MIN, share));
    this.#refill();
  }

  receive(slots: Int32Array, limit: number): number {
    const { rx } = this.#rings;
    const { index, counters } = this.#context;
    const count = rx.available(limit);
    this.#overruns.observe(count, limit);
    if (count === 0) {
      this.#onEmpty();
      return 0;
    }
    let total = 0;
    for (let i = 0; i < count; i++) {
      const frameAt = rx.address(i);
      const length = rx.length(i);
      const slot = frameAt >>> SLOT_SHIFT;
      this.#isLent[slot] = 0;
      packet.begin(slot, frameAt, length, index);
      slots[i] = slot;
      total += length;
    }
    rx.release(count);
    this.#filling -= count;
    this.#emptyReceives = 0;
    counters.countReceived(index, count, total);
    this.#refill();
    return count;
  }

  transmit(slots: Int32Array, count: number): void {
    const { index, allocator, counters } = this.#context;
    this.#complete();
    let from = 0;
    // The kernel takes frames off the ring when it is told to: more of them fit than the ring has
    // entries, until it refuses.
    while (from < count && this.isUp) {
      const to = this.#put(slots, from, count);
      this.#kick();
      this.#complete();
      if (to === from && this.#rings.tx.room() === 0) break;
      from = to;
    }
    for (; from < count; from++) {
      counters.countPortDrop(index, DROP[this.isUp ? "device-full" : "device-down"]);
      allocator.give(slots[from]!);
    }
  }

  reclaim(): boolean {
    if (!this.isUp) return false;
    this.#complete();
    if (this.#sending > 0) {
      this.#kick();
      this.#complete();
    }
    this.#refill();
    return this.#sending > 0;
  }

  get lent(): number {
    return this.#filling + this.#sending;
  }

  get state(): XdpState {
    const { descriptor } = this;
    const { fill, completion, rx, tx } = this.#rings;
    const lent: number[] = [];
    for (let slot = 0; slot < smallCount; slot++) if (this.#isLent[slot] === 1) lent.push(slot);
    return {
      ...{ driver: "af-xdp", descriptor, program: this.#program, ringSize: this.#ringSize, lent },
      rings: { fill: fill.state, completion: completion.state, rx: rx.state, tx: tx.state },
      ...{ filling: this.#filling, sending: this.#sending, overruns: null },
    };
  }

  detach(): PortState {
    const state = { ...this.state, overruns: this.#overruns.seen };
    this.#isClosed = true;
    this.#isLent.fill(0);
    this.#filling = 0;
    this.#sending = 0;
    this.isUp = false;
    return state;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    libc.close(this.#program);
    closeXdpSocket(this.descriptor, this.#rings);
    for (let slot = 0; slot < smallCount; slot++) {
      if (this.#isLent[slot] === 1) this.#context.allocator.give(slot);
    }
    this.#isLent.fill(0);
    this.isUp = false;
  }

  /** Puts frames from `slots[from]` on into the tx ring while there is room; returns how far. */
  #put(slots: Int32Array, from: number, count: number): number {
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
    counters.countSent(index, put, total);
    return i;
  }

  /** Lends the kernel slots to receive into. */
  #refill(): void {
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

  /** Takes back what the kernel has sent. */
  #complete(): void {
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

  /** Makes the kernel send what waits in the tx ring. */
  #kick(): void {
    const { tx } = this.#rings;
    let calls = Math.ceil(tx.pending() / KICK_FRAMES);
    for (; calls > 0 && tx.needsWakeup(); calls--) {
      if (kick.sendFirst(this.descriptor) === -1) {
        const number = native.errno();
        if (native.meansDeviceDown(number)) this.isUp = false;
        // Busy or out of buffers: `reclaim` tries again.
        if (number !== native.EAGAIN) return;
      }
    }
  }

  /** A quiet port cannot be told from one whose device is gone, except by a call. */
  #onEmpty(): void {
    if (++this.#emptyReceives < EMPTY_RECEIVES_MAX) return;
    this.#emptyReceives = 0;
    if (kick.sendFirst(this.descriptor) === -1 && native.meansDeviceDown(native.errno())) {
      this.isUp = false;
    }
  }
}
