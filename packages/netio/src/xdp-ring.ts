/**
 * The four rings that an AF_XDP socket shares with the kernel
 * (Documentation/networking/af_xdp.rst).
 *
 *   ring         who produces   entries
 *   fill         we             addresses of chunks that the kernel may receive into, 8 bytes
 *   completion   the kernel     addresses of chunks that it has sent, 8 bytes
 *   rx           the kernel     descriptors of received frames, 16 bytes
 *   tx           we             descriptors of frames to send, 16 bytes
 *
 * A descriptor is address (u64), length (u32), options (u32). An address is a byte offset in the
 * packet pool, below 1 GiB: the high word stays zero as the kernel made it, and so do the options
 * of what we send.
 *
 * Both counters run free and wrap at 2³². The store of a counter publishes the entries before it.
 */
import type { RingState } from "./movable-port.ts";
import { bufferAt, check, libc } from "./native.ts";

const PROT_READ_WRITE = 3;
const MAP_SHARED_POPULATE = 0x8001;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
const NEED_WAKEUP = 1;

export class XdpRing {
  readonly #state: RingState;
  readonly #words: Int32Array;
  readonly #producer: number;
  readonly #consumer: number;
  readonly #flags: number;
  readonly #entries: number;
  readonly #entryWords: number;
  readonly #mask: number;
  /** The counter of our side, and what we last saw of the other side's. */
  #ours: number;
  #theirs: number;

  /** A ring that is mapped already, with our counter as it was left. */
  constructor(state: RingState) {
    const { address, size, offsets, count, entrySize, ours } = state;
    this.#state = state;
    this.#words = new Int32Array(bufferAt(address, Number(size)));
    this.#producer = offsets.producer >> 2;
    this.#consumer = offsets.consumer >> 2;
    this.#flags = offsets.flags >> 2;
    this.#entries = offsets.entries >> 2;
    this.#entryWords = entrySize >> 2;
    this.#mask = count - 1;
    this.#ours = ours;
    // As old as can be: the first look at the other side's counter corrects it.
    this.#theirs = ours;
  }

  /** Maps the ring of `count` entries of `entrySize` bytes that the socket has at `page`. */
  static map(
    descriptor: number,
    page: bigint,
    offsets: RingState["offsets"],
    count: number,
    entrySize: number,
  ): XdpRing {
    const size = BigInt(offsets.entries + count * entrySize);
    const address = libc.mmap(0n, size, PROT_READ_WRITE, MAP_SHARED_POPULATE, descriptor, page);
    if (BigInt.asUintN(64, address) === MAP_FAILED) check(-1, "map an AF_XDP ring");
    return new XdpRing({ address, size, offsets, count, entrySize, ours: 0 });
  }

  /** What another thread needs to go on with the ring. */
  get state(): RingState {
    return { ...this.#state, ours: this.#ours };
  }

  /** Entries that we may write. */
  room(): number {
    this.#theirs = Atomics.load(this.#words, this.#consumer);
    return this.#mask + 1 - ((this.#ours - this.#theirs) | 0);
  }

  /** Entries that we wrote and the kernel has not taken yet. */
  pending(): number {
    this.#theirs = Atomics.load(this.#words, this.#consumer);
    return (this.#ours - this.#theirs) | 0;
  }

  /** Writes an address `ahead` of what is published; call when there is room for it. */
  putAddress(ahead: number, address: number): void {
    this.#words[this.#entryAt(ahead)] = address;
  }

  putDescriptor(ahead: number, address: number, length: number): void {
    const at = this.#entryAt(ahead);
    this.#words[at] = address;
    this.#words[at + 2] = length;
  }

  /** Hands the first `count` entries that were put to the kernel. */
  publish(count: number): void {
    this.#ours = (this.#ours + count) | 0;
    Atomics.store(this.#words, this.#producer, this.#ours);
  }

  /** Entries that the kernel wrote and we have not released yet, at most `limit`. */
  available(limit: number): number {
    if (((this.#theirs - this.#ours) | 0) < limit) {
      this.#theirs = Atomics.load(this.#words, this.#producer);
    }
    return Math.min(limit, (this.#theirs - this.#ours) | 0);
  }

  address(ahead: number): number {
    return this.#words[this.#entryAt(ahead)]!;
  }

  length(ahead: number): number {
    return this.#words[this.#entryAt(ahead) + 2]!;
  }

  /** Gives the places of the first `count` available entries back. */
  release(count: number): void {
    this.#ours = (this.#ours + count) | 0;
    Atomics.store(this.#words, this.#consumer, this.#ours);
  }

  /** Whether the kernel waits for a call before it looks at the ring. */
  needsWakeup(): boolean {
    return (Atomics.load(this.#words, this.#flags) & NEED_WAKEUP) !== 0;
  }

  /** Nothing may be called after it: the memory is gone. */
  unmap(): void {
    libc.munmap(this.#state.address, this.#state.size);
  }

  #entryAt(ahead: number): number {
    return this.#entries + ((this.#ours + ahead) & this.#mask) * this.#entryWords;
  }
}
