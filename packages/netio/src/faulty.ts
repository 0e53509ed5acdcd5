/**
 * A port that loses, repeats, delays, reorders and damages frames on their way to or from another
 * port, by a seeded generator: the same seed and frames give the same faults. For tests of what
 * stands on ports; run by the thread that owns the port.
 *
 * Time is counted in calls: a frame that is delayed comes some calls of `receive` later, or some of
 * `transmit` and `reclaim`.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews, SMALL_FRAME_MAX } from "@rhone/rings/pool";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import type { Port } from "./port.ts";

/** How likely each fault is for a frame, 0 to 1; what is left out never happens. */
export interface FaultRates {
  readonly drop?: number;
  readonly duplicate?: number;
  readonly delay?: number;
  /** The frame comes behind the one after it. */
  readonly reorder?: number;
  /** One bit of the frame changes. */
  readonly corrupt?: number;
}

export interface FaultyOptions {
  readonly seed: number;
  readonly receive?: FaultRates;
  readonly transmit?: FaultRates;
}

/** Frames that were treated so. */
export interface FaultCounts {
  dropped: number;
  duplicated: number;
  delayed: number;
  reordered: number;
  corrupted: number;
}

const DELAY_CALLS_MAX = 8;
/** Frames that wait in one direction; with so many, no more are delayed. */
const WAITING_MAX = 1024;
const RECEIVE_MAX = 64;

const { bytes } = poolViews();

/** Stands between a port and its owner; `allocator` is the owner's. Closing it closes the port. */
export class FaultyPort implements Port {
  readonly counts: FaultCounts = {
    ...{ dropped: 0, duplicated: 0, delayed: 0, reordered: 0, corrupted: 0 },
  };
  readonly #port: Port;
  readonly #incoming: FaultyLine;
  readonly #outgoing: FaultyLine;
  readonly #scratch = new Int32Array(WAITING_MAX);

  constructor(port: Port, allocator: SlotAllocator, options: FaultyOptions) {
    const { seed, receive = {}, transmit = {} } = options;
    this.#port = port;
    this.#incoming = new FaultyLine(allocator, generator(seed), receive, this.counts);
    this.#outgoing = new FaultyLine(allocator, generator(~seed), transmit, this.counts);
  }

  get descriptors(): readonly number[] {
    return this.#port.descriptors;
  }

  get carriesOffloads(): boolean {
    return this.#port.carriesOffloads;
  }

  get isUp(): boolean {
    return this.#port.isUp;
  }

  receive(slots: Int32Array, limit: number): number {
    const line = this.#incoming;
    const most = line.hasRoom ? Math.min(limit, RECEIVE_MAX) : 0;
    line.advance(this.#scratch, most === 0 ? 0 : this.#port.receive(this.#scratch, most));
    return line.take(slots, limit);
  }

  transmit(slots: Int32Array, count: number): void {
    for (let from = 0; from < count; from += RECEIVE_MAX) {
      const end = Math.min(from + RECEIVE_MAX, count);
      for (let i = from; i < end; i++) this.#scratch[i - from] = slots[i]!;
      this.#outgoing.advance(this.#scratch, end - from);
      this.#flush();
    }
  }

  reclaim(): boolean {
    this.#outgoing.advance(this.#scratch, 0);
    this.#flush();
    const isInFlight = this.#port.reclaim();
    return isInFlight || this.#incoming.isWaiting || this.#outgoing.isWaiting;
  }

  close(): void {
    this.#incoming.close();
    this.#outgoing.close();
    this.#port.close();
  }

  #flush(): void {
    for (;;) {
      const count = this.#outgoing.take(this.#scratch, WAITING_MAX);
      if (count === 0) return;
      this.#port.transmit(this.#scratch, count);
    }
  }
}

/** One direction: what goes in comes out, at some time, in some order, or not. */
class FaultyLine {
  readonly #allocator: SlotAllocator;
  readonly #random: () => number;
  readonly #rates: Required<FaultRates>;
  readonly #counts: FaultCounts;
  readonly #ready: number[] = [];
  readonly #delayed: { readonly slot: number; readonly call: number }[] = [];
  /** A frame that lets the next one pass, -1 none, and the call in which it came. */
  #passed = -1;
  #passedCall = 0;
  #call = 0;

  constructor(
    allocator: SlotAllocator,
    random: () => number,
    rates: FaultRates,
    counts: FaultCounts,
  ) {
    this.#allocator = allocator;
    this.#random = random;
    this.#rates = { drop: 0, duplicate: 0, delay: 0, reorder: 0, corrupt: 0, ...rates };
    this.#counts = counts;
  }

  get hasRoom(): boolean {
    return this.#ready.length + this.#delayed.length < WAITING_MAX;
  }

  get isWaiting(): boolean {
    return this.#ready.length + this.#delayed.length > 0 || this.#passed >= 0;
  }

  /** Takes frames in, and lets out what is due. */
  advance(slots: Int32Array, count: number): void {
    this.#call++;
    for (let i = 0; i < this.#delayed.length; ) {
      const { slot, call } = this.#delayed[i]!;
      if (call > this.#call) {
        i++;
        continue;
      }
      this.#delayed.splice(i, 1);
      this.#ready.push(slot);
    }
    for (let i = 0; i < count; i++) this.#treat(slots[i]!);
    // None came to pass it: it is late enough.
    if (this.#passed >= 0 && this.#passedCall < this.#call) this.#endPassing();
  }

  /** Fills `slots` with up to `limit` frames that come out; returns how many. */
  take(slots: Int32Array, limit: number): number {
    const out = this.#ready.splice(0, limit);
    slots.set(out);
    return out.length;
  }

  close(): void {
    this.#endPassing();
    const waiting = [...this.#ready, ...this.#delayed.map(({ slot }) => slot)];
    for (const slot of waiting) this.#allocator.give(slot);
    this.#ready.length = 0;
    this.#delayed.length = 0;
  }

  #treat(slot: number): void {
    const rates = this.#rates;
    if (this.#happens(rates.drop)) {
      this.#counts.dropped++;
      this.#allocator.give(slot);
      return;
    }
    if (this.#happens(rates.duplicate)) {
      const copy = copyOf(slot, this.#allocator);
      if (copy >= 0) {
        this.#counts.duplicated++;
        this.#ready.push(copy);
      }
    }
    if (this.#happens(rates.corrupt)) this.#corrupt(slot);
    if (this.#happens(rates.delay) && this.hasRoom) {
      this.#counts.delayed++;
      const calls = 1 + Math.floor(this.#random() * DELAY_CALLS_MAX);
      this.#delayed.push({ slot, call: this.#call + calls });
    } else if (this.#happens(rates.reorder) && this.#passed < 0) {
      this.#counts.reordered++;
      this.#passed = slot;
      this.#passedCall = this.#call;
    } else {
      this.#ready.push(slot);
      this.#endPassing();
    }
  }

  #endPassing(): void {
    if (this.#passed >= 0) this.#ready.push(this.#passed);
    this.#passed = -1;
  }

  #corrupt(slot: number): void {
    const length = packet.length(slot);
    if (length === 0) return;
    this.#counts.corrupted++;
    const bit = Math.floor(this.#random() * length * 8);
    bytes[packet.frameAt(slot) + (bit >> 3)]! ^= 1 << (bit & 7);
  }

  #happens(rate: number): boolean {
    return rate > 0 && this.#random() < rate;
  }
}

/** The same packet in another slot; -1 when none is free. */
function copyOf(slot: number, allocator: SlotAllocator): number {
  const length = packet.length(slot);
  const copy = length <= SMALL_FRAME_MAX ? allocator.takeSmall() : allocator.takeLarge();
  if (copy < 0) return -1;
  const from = packet.frameAt(slot);
  const to = packet.defaultFrameAt(copy);
  packet.copyMetadata(slot, copy);
  packet.setFrameAt(copy, to);
  if (packet.l3At(slot) !== 0) packet.setL3At(copy, packet.l3At(slot) + to - from);
  if (packet.l4At(slot) !== 0) packet.setL4At(copy, packet.l4At(slot) + to - from);
  bytes.copyWithin(to, from, from + length);
  return copy;
}

/** Mulberry32: numbers from 0 to below 1, the same for the same seed. */
function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
