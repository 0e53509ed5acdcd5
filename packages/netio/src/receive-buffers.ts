/**
 * Slots that wait for what a socket receives, as the buffers of a MessageVector.
 *
 * Two buffers a message: the first ends with a small slot, the second is a large slot from where
 * the first would have ended. A frame that is too long for the small slot goes on in the large one;
 * only then is something copied, its first part, in front of the rest.
 *
 *   small slot   … | header | frame, first 1792 bytes |
 *   large slot   … |                 (copied here)    | frame, the rest |
 *
 * The header is of a fixed size and stands right in front of where frames start. Run by the worker
 * that owns the allocator.
 */
import * as packet from "@rhone/rings/packet";
import { LARGE_FRAME_MAX, SMALL_FRAME_MAX } from "@rhone/rings/pool";
import * as poolMemory from "@rhone/rings/pool-memory";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import type { MessageVector } from "./message-vector.ts";

/** Large slots that are kept at most, and never more than half of a worker's. */
const LARGE_MAX = 32;

export class ReceiveBuffers {
  readonly #allocator: SlotAllocator;
  readonly #messages: MessageVector;
  readonly #headerSize: number;
  /** Slots that wait: -1 none. The messages that have a large one come first. */
  readonly #small: Int32Array;
  readonly #large: Int32Array;
  readonly #largeMax: number;
  #largeCount = 0;
  #hasRunOut = false;

  /** For messages of two buffers, of which there are `count`. */
  constructor(
    allocator: SlotAllocator,
    messages: MessageVector,
    count: number,
    headerSize: number,
  ) {
    this.#allocator = allocator;
    this.#messages = messages;
    this.#headerSize = headerSize;
    this.#small = new Int32Array(count).fill(-1);
    this.#large = new Int32Array(count).fill(-1);
    this.#largeMax = Math.min(LARGE_MAX, count, Math.ceil(allocator.largeFree / 2));
    for (let i = 0; i < count; i++) messages.setBufferCount(i, 1);
  }

  /** Slots that wait. */
  get count(): number {
    let count = 0;
    for (let i = 0; i < this.#small.length; i++) {
      if (this.#small[i]! >= 0) count++;
      if (this.#large[i]! >= 0) count++;
    }
    return count;
  }

  /** Whether large slots are used at all. */
  get hasLarge(): boolean {
    return this.#largeMax > 0;
  }

  /** Whether the worker had no large slot left at the last `arm`. */
  get hasRunOut(): boolean {
    return this.#hasRunOut;
  }

  /** Readies up to `count` messages; returns how many are. */
  arm(count: number): number {
    this.#fillLarge();
    // Only so many that a long frame finds a large slot; with none, short frames still come.
    const most = this.#largeCount > 0 ? Math.min(count, this.#largeCount) : count;
    for (let i = 0; i < most; i++) {
      if (this.#small[i]! >= 0) continue;
      const slot = this.#allocator.takeSmall();
      if (slot < 0) return i;
      this.#small[i] = slot;
      const at = packet.defaultFrameAt(slot) - this.#headerSize;
      this.#messages.setBuffer(i, 0, at, this.#headerSize + SMALL_FRAME_MAX);
    }
    return most;
  }

  /** Where the header of message `i` starts. */
  headerAt(i: number): number {
    return packet.defaultFrameAt(this.#small[i]!) - this.#headerSize;
  }

  /** Whether a frame that was longer than a small slot had a large one. */
  hasLargeAt(i: number): boolean {
    return this.#large[i]! >= 0;
  }

  /**
   * Takes the slot that holds the whole frame of message `i`, of `size` bytes without the header.
   * In a large slot, the header stands in front of the frame as well.
   */
  take(i: number, size: number): number {
    if (size <= SMALL_FRAME_MAX) {
      const slot = this.#small[i]!;
      this.#small[i] = -1;
      return slot;
    }
    const slot = this.#large[i]!;
    const from = this.headerAt(i);
    const to = packet.defaultFrameAt(slot) - this.#headerSize;
    poolMemory.copy(to, from, this.#headerSize + SMALL_FRAME_MAX);
    this.#setLarge(i, -1);
    this.#largeCount--;
    return slot;
  }

  /** Frees every slot. */
  close(): void {
    for (let i = 0; i < this.#small.length; i++) {
      if (this.#small[i]! >= 0) this.#allocator.give(this.#small[i]!);
      if (this.#large[i]! >= 0) this.#allocator.give(this.#large[i]!);
    }
    this.#small.fill(-1);
    this.#large.fill(-1);
  }

  /** Closes the gaps that used large slots left, with new ones or else with those behind. */
  #fillLarge(): void {
    const large = this.#large;
    if (this.#largeCount === this.#largeMax) return;
    let last = this.#largeMax - 1;
    let count = 0;
    for (; count < this.#largeMax; count++) {
      if (large[count]! >= 0) continue;
      let slot = this.#allocator.takeLarge();
      if (slot < 0) {
        while (last > count && large[last]! < 0) last--;
        if (last <= count) break;
        slot = large[last]!;
        this.#setLarge(last, -1);
      }
      this.#setLarge(count, slot);
    }
    this.#hasRunOut = count === 0 && this.#largeMax > 0;
    this.#largeCount = count;
  }

  #setLarge(i: number, slot: number): void {
    this.#large[i] = slot;
    this.#messages.setBufferCount(i, slot < 0 ? 1 : 2);
    if (slot < 0) return;
    const at = packet.defaultFrameAt(slot) + SMALL_FRAME_MAX;
    this.#messages.setBuffer(i, 1, at, LARGE_FRAME_MAX - SMALL_FRAME_MAX);
  }
}
