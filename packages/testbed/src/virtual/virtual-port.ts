/** A port without a kernel: frames wait in a list on each side. */
import type { Port, PortContext } from "@rhone/netio/port";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews, SMALL_FRAME_MAX } from "@rhone/rings/pool";
import type { Random } from "./random.ts";

const { bytes } = poolViews();

export class VirtualPort implements Port {
  readonly descriptors = [];
  readonly carriesOffloads = false;
  readonly isUp = true;
  /** Frames that wait to be received. */
  readonly incoming: Uint8Array[] = [];
  /** Frames that were sent. */
  readonly sent: Uint8Array[] = [];
  readonly #context: PortContext;
  readonly #random: Random;

  constructor(context: PortContext, random: Random) {
    this.#context = context;
    this.#random = random;
  }

  /** A part of what waits, so that batches are cut anywhere. */
  receive(slots: Int32Array, limit: number): number {
    const { index, allocator, counters } = this.#context;
    const wanted = Math.min(limit, this.#random.below(this.incoming.length + 1));
    let received = 0;
    for (const frame of this.incoming.splice(0, wanted)) {
      const isSmall = frame.length <= SMALL_FRAME_MAX;
      const slot = isSmall ? allocator.takeSmall() : allocator.takeLarge();
      if (slot < 0) {
        counters.countPortDrop(index, DROP["pool-exhausted"]);
        continue;
      }
      const at = packet.defaultFrameAt(slot);
      bytes.set(frame, at);
      packet.begin(slot, at, frame.length, index);
      counters.countReceived(index, 1, frame.length);
      slots[received++] = slot;
    }
    return received;
  }

  transmit(slots: Int32Array, count: number): void {
    for (const slot of slots.subarray(0, count)) {
      const at = packet.frameAt(slot);
      this.sent.push(bytes.slice(at, at + packet.length(slot)));
      this.#context.counters.countSent(this.#context.index, 1, packet.length(slot));
      this.#context.allocator.give(slot);
    }
  }

  reclaim(): boolean {
    return false;
  }

  close(): void {}
}
