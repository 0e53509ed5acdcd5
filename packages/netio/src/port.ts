/**
 * What a worker knows about a port: something that frames come from and go to.
 *
 * A port belongs to one worker and is called by that worker only. It never blocks and never throws
 * for anything that a peer or the kernel can cause: it counts a drop under a named reason and goes
 * on.
 */
import type { Counters } from "@rhone/rings/counters";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";

/** What every port needs from the worker that owns it. */
export interface PortContext {
  /** Index that the chassis gave the device; counters and packets carry it. */
  readonly index: number;
  readonly allocator: SlotAllocator;
  readonly counters: Counters;
  /** Bytes of each frame that are no part of the packet, and are not counted; none: 0. */
  readonly outerSize?: number;
}

export interface Port {
  /** File descriptors of which one polls readable when `receive` would find a frame; maybe none. */
  readonly descriptors: readonly number[];
  /**
   * Whether `transmit` takes super-frames and unfinished checksums. Where it does not, the worker
   * cuts and finishes first (segment.ts).
   */
  readonly carriesOffloads: boolean;
  /** False once the device is gone; the port then only wants to be closed. */
  readonly isUp: boolean;

  /**
   * Fills `slots[0..n)` with packets that arrived, n ≤ `limit`, and returns n. Their metadata is
   * begun (`packet.begin`), with offload words set. Counts packets, bytes and drops.
   */
  receive(slots: Int32Array, limit: number): number;

  /**
   * Takes all of `slots[0..count)`: the port sends each and frees its slot, at once or when the
   * kernel has finished with it; what the device does not take is counted and freed.
   */
  transmit(slots: Int32Array, count: number): void;

  /** Reclaims what the kernel has sent. True while frames are in flight, so: do not sleep long. */
  reclaim(): boolean;

  /** Closes the descriptor and frees every slot that the port holds. */
  close(): void;
}

/** What a worker knows about the tunnel: stamped packets come from it and go to other chassis. */
export interface Tunnel {
  /** File descriptor that polls readable when `receive` would find a packet; -1: there is none. */
  readonly descriptor: number;
  /** After `receive`: the outer source address of `slots[i]`, four words from `i * 4`. */
  readonly sources: Int32Array;

  /** Fills `slots[0..n)` with packets that start with their Geneve header; returns n ≤ `limit`. */
  receive(slots: Int32Array, limit: number): number;

  /**
   * Sends `slots[0..count)`, each starting with its Geneve header, to the addresses at
   * `destinations[i * 4]`, and frees them.
   */
  transmit(slots: Int32Array, count: number, destinations: Int32Array): void;

  /**
   * Sends the segments of a super-frame to the address at `destination[0]`: `slots[0..count)` have
   * their headers, `headersSize` bytes each from the Geneve header on, and are freed. The payload
   * lies in a row at byte `payloadAt` of the pool and stays the caller's; each segment's
   * `packet.length` counts its share, equal for all but the last.
   */
  transmitSegments(
    slots: Int32Array,
    count: number,
    headersSize: number,
    payloadAt: number,
    destination: Int32Array,
  ): void;

  /** True while packets of ours are in flight. */
  reclaim(): boolean;

  close(): void;
}
