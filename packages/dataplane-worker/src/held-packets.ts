/**
 * Packets for what a worker is to own and does not yet: they wait in a ring of its own, which it
 * fills as it fills those to others (bucket-hand-over.ts).
 *
 * What is furthest on goes first: it has been where the others still have to go, so it was in front
 * of them. Among those equally far their order stays.
 */
import * as packet from "@rhone/rings/packet";
import type { RingConsumer } from "@rhone/rings/ring";
import { RING_CAPACITY } from "./plan.ts";

/** Twice the stage, and one for a fragment that knows its flow. */
const RANKS = 32;
const TAKEN = -1;

export class HeldPackets {
  readonly #ring: RingConsumer;
  readonly #slots = new Int32Array(RING_CAPACITY);
  #count = 0;
  #rank = 0;
  #at = 0;

  constructor(ring: RingConsumer) {
    this.#ring = ring;
  }

  /** Takes all that wait out of the ring, for `next`. */
  take(): void {
    this.#count = this.#ring.pop(this.#slots, RING_CAPACITY);
    this.#rank = RANKS - 1;
    this.#at = 0;
  }

  /** Fills `slots` with the next ones, all equally far; returns how many, 0 at the end. */
  next(slots: Int32Array): number {
    let count = 0;
    for (; this.#rank >= 0 && count === 0; this.#rank--) {
      for (; this.#at < this.#count && count < slots.length; this.#at++) {
        const slot = this.#slots[this.#at]!;
        if (slot === TAKEN || rank(slot) !== this.#rank) continue;
        slots[count++] = slot;
        this.#slots[this.#at] = TAKEN;
      }
      if (count === slots.length) return count; // There may be more of this rank.
      this.#at = 0;
    }
    return count;
  }
}

function rank(slot: number): number {
  const isResolved = (packet.flags(slot) & packet.FLAG_FRAGMENT_RESOLVED) !== 0;
  return packet.stage(slot) * 2 + (isResolved ? 1 : 0);
}
