/** What tests need of a worker: slots, counters, frames of bytes. Run by tests only. */
import assert from "node:assert/strict";
import { COUNTERS_SIZE, Counters } from "@rhone/rings/counters";
import * as packet from "@rhone/rings/packet";
import { poolViews, SMALL_FRAME_MAX } from "@rhone/rings/pool";
import { SlotAllocator } from "@rhone/rings/slot-allocator";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import type { Port, PortContext } from "./port.ts";

const pool = poolViews();

/**
 * A worker's allocator and counters. All workers of a thread would hand out the same slots: have
 * one.
 */
export class TestWorker {
  readonly allocator: SlotAllocator;
  readonly counters = new Counters(new SharedArrayBuffer(COUNTERS_SIZE));
  readonly #smallCount: number;
  readonly #largeCount: number;

  constructor({ smallCount, largeCount }: { smallCount: number; largeCount: number } = pool) {
    this.allocator = new SlotAllocator({ smallCount, largeCount }, 0, 1, [null], []);
    this.#smallCount = smallCount;
    this.#largeCount = largeCount;
  }

  context(index: number): PortContext {
    return { index, allocator: this.allocator, counters: this.counters };
  }

  /** A packet of these bytes, in the smallest slot that holds it. */
  packet(frame: Uint8Array): number {
    const { allocator } = this;
    const isSmall = frame.length <= SMALL_FRAME_MAX;
    const slot = isSmall ? allocator.takeSmall() : allocator.takeLarge();
    assert.ok(slot >= 0, "expected a free slot");
    const frameAt = packet.defaultFrameAt(slot);
    pool.bytes.set(frame, frameAt);
    packet.begin(slot, frameAt, frame.length, -1);
    return slot;
  }

  /** Sends each frame in its own packet. */
  transmit(port: Port, frames: readonly Uint8Array[]): void {
    const slots = Int32Array.from(frames, (frame) => this.packet(frame));
    port.transmit(slots, slots.length);
  }

  /** What a port received, as bytes; the slots are free again. */
  receive(port: Port, limit = 64): Uint8Array[] {
    const slots = new Int32Array(limit);
    const count = port.receive(slots, limit);
    return Array.from(slots.subarray(0, count), (slot) => {
      const bytes = frameOf(slot);
      this.allocator.give(slot);
      return bytes;
    });
  }

  /** Asserts that every slot is free. */
  assertAllHome(): void {
    assert.deepEqual(
      { small: this.allocator.smallFree, large: this.allocator.largeFree },
      { small: this.#smallCount, large: this.#largeCount },
    );
  }
}

/** A copy of a packet's frame. */
export function frameOf(slot: number): Uint8Array {
  const frameAt = packet.frameAt(slot);
  return pool.bytes.slice(frameAt, frameAt + packet.length(slot));
}

/** An Ethernet frame to everybody, of an experimental type, with a number and a pattern. */
export function testFrame(size: number, number: number): Uint8Array {
  const frame = new Uint8Array(size).map((_, i) => (i * 7 + number) & 0xff);
  const view = new DataView(frame.buffer);
  ethernet.write(view, 0, -1, 0xffff, 0x02000000, 0x0001, 0x88b5);
  view.setUint32(14, number);
  return frame;
}

/** Finds the headers of an untagged frame, as the pipeline does it. */
export function findHeaders(slot: number): void {
  const { view } = pool;
  const at = packet.frameAt(slot);
  const l3At = at + ethernet.HEADER_SIZE;
  const etherType = ethernet.etherType(view, at);
  packet.setEtherType(slot, etherType);
  if (etherType === ethernet.ETHERTYPE_IPV4) {
    packet.setL3At(slot, l3At);
    packet.setL4At(slot, l3At + ipv4.headerSize(view, l3At));
    packet.setProtocol(slot, ipv4.protocol(view, l3At));
  } else if (etherType === ethernet.ETHERTYPE_IPV6) {
    const end = at + packet.length(slot);
    packet.setL3At(slot, l3At);
    packet.setL4At(slot, ipv6.findTransport(view, l3At, end));
    packet.setProtocol(slot, ipv6.transportProtocol(view, l3At, end));
  }
}
