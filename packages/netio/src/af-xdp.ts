/**
 * A port over AF_XDP: the kernel puts frames into slots of the packet pool and sends from them, and
 * an XDP program takes them before the host's own stack. For many small packets. Run by the worker
 * that owns the port.
 *
 * Every queue that the device receives by has a socket, all of one UMEM. The device puts a flow's
 * frames on one queue, so that they stay in order. All frames leave by the first queue: one system
 * call sends a batch, and nothing overtakes.
 *
 * Frames come and go plain. A sender on the same machine (the other end of a veth) leaves checksums
 * unfinished that XDP does not tell of (unfinished-sum.ts). It does so with all or with none: the
 * first frame of each batch that has one says whether the others are looked at.
 */
import { DROP } from "@rhone/rings/drop-reason";
import { poolViews } from "@rhone/rings/pool";
import { deviceIndex, QUEUES_MAX, servedQueueCount } from "./device.ts";
import {
  closeXdpQueue,
  type MovablePort,
  type PortState,
  type XdpQueueState,
} from "./movable-port.ts";
import * as native from "./native.ts";
import type { PortContext } from "./port.ts";
import { lookForUnfinished, NO_SUM, UNFINISHED } from "./unfinished-sum.ts";
import { type Attachment, attachRedirect, putSockets } from "./xdp-program.ts";
import { openXdpQueue, XdpQueue } from "./xdp-queue.ts";

export interface AfXdpOptions {
  /** Serves this queue of the device alone; frames of others go to the kernel. */
  readonly queue?: number;
  /**
   * Of an XDP program that somebody else has attached: where it finds the sockets. Left out: the
   * port attaches one that takes every frame.
   */
  readonly socketMap?: number;
  /** Entries of each ring, a power of two; a queue lends the kernel at most so many slots. */
  readonly ringSize?: number;
}

/** Frames that come while the worker waits for a core: 2048 are some 7 ms of 4 Gbit/s. */
const RING_SIZE = 2048;
/** The part of the free slots that a port may keep in the kernel to receive into. */
const FILL_SHARE = 8;
/** Of each queue, however many there are. */
const FILL_MIN = 64;
/** Empty calls of `receive` after which the device is asked whether it still is there. */
const EMPTY_RECEIVES_MAX = 16;

/** A program that is somebody else's. */
const FOREIGN: Attachment = { descriptor: -1, isNative: true };

const { libc } = native;
const { smallCount } = poolViews();

/**
 * Takes the device over. Throws when it is missing, the kernel refuses, or one of its queues cannot
 * be bound: a port serves all of them or does not open.
 */
export function openAfXdp(
  device: string,
  context: PortContext,
  options: AfXdpOptions = {},
): MovablePort {
  const { queue, socketMap, ringSize = RING_SIZE } = options;
  const index = deviceIndex(device);
  const queues: XdpQueueState[] = [];
  try {
    if (queue === undefined) openQueues(device, index, ringSize, queues);
    else queues.push(openXdpQueue(index, queue, ringSize, null));
    const sockets = new Map(queues.map(({ queue, descriptor }) => [queue, descriptor]));
    if (socketMap !== undefined) putSockets(socketMap, sockets);
    const { descriptor: program, isNative } =
      socketMap === undefined ? attachRedirect(index, sockets) : FOREIGN;
    const state = { driver: "af-xdp", program, isNative, ringSize, queues, lent: [] } as const;
    return new AfXdpPort(state, context);
  } catch (error) {
    for (const opened of queues) closeXdpQueue(opened);
    throw error;
  }
}

/** Goes on with a port that another thread detached; the slots that the kernel has come along. */
export function adoptAfXdp(state: XdpState, context: PortContext): MovablePort {
  for (const slot of state.lent) context.allocator.adopt(slot);
  return new AfXdpPort(state, context);
}

type XdpState = Extract<PortState, { driver: "af-xdp" }>;

/** Opens every queue into `opened`. A device that does not say its number is asked for each. */
function openQueues(
  device: string,
  index: number,
  ringSize: number,
  opened: XdpQueueState[],
): void {
  const count = servedQueueCount(device);
  const end = count === 0 ? QUEUES_MAX : count;
  for (let queue = 0; queue < end; queue++) {
    const sharer = opened[0]?.descriptor ?? null;
    try {
      opened.push(openXdpQueue(index, queue, ringSize, sharer));
    } catch (error) {
      const hasNoMore = error instanceof native.NativeError && error.errno === native.EINVAL;
      if (count === 0 && queue > 0 && hasNoMore) return;
      throw error;
    }
  }
}

class AfXdpPort implements MovablePort {
  readonly descriptors: readonly number[];
  readonly carriesOffloads = false;
  isUp = true;
  readonly #program: number;
  readonly #isNative: boolean;
  readonly #ringSize: number;
  readonly #queues: readonly XdpQueue[];
  /** Sends everything. */
  readonly #first: XdpQueue;
  readonly #context: PortContext;
  /** Marks each small slot that the kernel has. */
  readonly #isLent = new Uint8Array(smallCount);
  /** Which queue was asked last. */
  #turn = 0;
  #emptyReceives = 0;
  /** Whether frames are packets, and nothing around them. */
  readonly #hasPlainFrames: boolean;
  /** Whether a checksum was found that its sender has left to its device. */
  #hasUnfinished = false;
  #isClosed = false;

  constructor({ program, isNative, ringSize, queues, lent }: XdpState, context: PortContext) {
    this.descriptors = queues.map(({ descriptor }) => descriptor);
    this.#program = program;
    this.#isNative = isNative;
    this.#ringSize = ringSize;
    this.#context = context;
    this.#hasPlainFrames = context.outerSize === undefined;
    for (const slot of lent) this.#isLent[slot] = 1;
    const share = Math.floor(context.allocator.smallFree / FILL_SHARE / queues.length);
    const fillMax = Math.min(ringSize, Math.max(FILL_MIN, share));
    this.#queues = queues.map((queue) => new XdpQueue(queue, context, this.#isLent, fillMax));
    this.#first = this.#queues[0]!;
  }

  receive(slots: Int32Array, limit: number): number {
    const queues = this.#queues;
    let received = 0;
    // Where the last call stopped, the next one goes on: no queue is asked first always.
    for (let asked = 0; asked < queues.length && received < limit; asked++) {
      this.#turn = this.#turn + 1 < queues.length ? this.#turn + 1 : 0;
      received += queues[this.#turn]!.receive(slots, received, limit - received);
    }
    if (received === 0) this.#onEmpty();
    else this.#emptyReceives = 0;
    if (this.#hasPlainFrames) this.#findUnfinished(slots, received);
    return received;
  }

  transmit(slots: Int32Array, count: number): void {
    const { index, allocator, counters } = this.#context;
    const queue = this.#first;
    queue.complete();
    let from = 0;
    // The kernel takes frames off the ring when it is told to: more of them fit than the ring has
    // entries, until it refuses.
    while (from < count && this.isUp) {
      const to = queue.put(slots, from, count);
      this.#kick();
      queue.complete();
      if (to === from && !queue.hasRoom()) break;
      from = to;
    }
    for (; from < count; from++) {
      counters.countPortDrop(index, DROP[this.isUp ? "device-full" : "device-down"]);
      allocator.give(slots[from]!);
    }
  }

  reclaim(): boolean {
    if (!this.isUp) return false;
    const queue = this.#first;
    queue.complete();
    if (queue.isSending) {
      this.#kick();
      queue.complete();
    }
    for (let i = 0; i < this.#queues.length; i++) this.#queues[i]!.refill();
    return queue.isSending;
  }

  get lent(): number {
    return this.#queues.reduce((sum, { lent }) => sum + lent, 0);
  }

  get state(): XdpState {
    return this.#stateOf(false);
  }

  detach(): PortState {
    const state = this.#stateOf(true);
    this.#isClosed = true;
    this.#isLent.fill(0);
    for (const queue of this.#queues) queue.forget();
    this.isUp = false;
    return state;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#program >= 0) libc.close(this.#program);
    for (const queue of this.#queues) queue.close();
    for (let slot = 0; slot < smallCount; slot++) {
      if (this.#isLent[slot] === 1) this.#context.allocator.give(slot);
    }
    this.#isLent.fill(0);
    this.isUp = false;
  }

  #findUnfinished(slots: Int32Array, count: number): void {
    for (let i = 0; i < count; i++) {
      const found = lookForUnfinished(slots[i]!);
      if (found === UNFINISHED) this.#hasUnfinished = true;
      else if (found !== NO_SUM && !this.#hasUnfinished) return;
    }
  }

  #stateOf(isEnding: boolean): XdpState {
    const lent: number[] = [];
    for (let slot = 0; slot < smallCount; slot++) if (this.#isLent[slot] === 1) lent.push(slot);
    const queues = this.#queues.map((queue) => queue.state(isEnding));
    return {
      ...{ driver: "af-xdp", program: this.#program, isNative: this.#isNative },
      ...{ ringSize: this.#ringSize, queues, lent },
    };
  }

  #kick(): void {
    if (!this.#first.kick()) this.isUp = false;
  }

  #onEmpty(): void {
    if (++this.#emptyReceives < EMPTY_RECEIVES_MAX) return;
    this.#emptyReceives = 0;
    if (!this.#first.probe()) this.isUp = false;
  }
}
