/**
 * Later fragments that came before their first one, which has the ports: on their way they took
 * another path than it did, or somebody sent the last one first. They wait a moment for it instead
 * of being dropped. Run by the worker that owns the flow of the fragments, as it is known without
 * ports.
 */
import type { Core } from "@rhone/pipeline-stages/core";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { KEY_WORDS } from "@rhone/tables/fragments";
import { readRingPacket, readyToWait } from "./hand-off.ts";
import type { TableHistory } from "./table-history.ts";

/** In all of a chassis; each worker that there may be has its share. */
export const ORPHANS_MAX = 1024;
/** Of one pair of addresses: as many as a packet of 64 KiB has, of 1,400 bytes each. */
export const ORPHANS_OF_PAIR_MAX = 48;
/** After this the first one was lost, or is later than what belongs to it ever is. */
export const ORPHAN_MS = 50;

export class OrphanFragments {
  readonly #core: Core;
  readonly #history: TableHistory;
  /** In the order in which they came, as are the arrays below. */
  readonly #slots: Int32Array;
  readonly #keys: Int32Array;
  readonly #buckets: Uint8Array;
  /** Hash of the flow as it is known without ports. */
  readonly #pairs: Int32Array;
  readonly #sinceMs: Int32Array;
  #count = 0;
  /** How many first fragments were known when all of these were looked up last. */
  #lookedUpAt = 0;

  /** Holds up to `limit` packets of `core`'s. */
  constructor(core: Core, history: TableHistory, limit: number) {
    this.#core = core;
    this.#history = history;
    this.#slots = new Int32Array(limit);
    this.#keys = new Int32Array(limit * KEY_WORDS);
    this.#buckets = new Uint8Array(limit);
    this.#pairs = new Int32Array(limit);
    this.#sinceMs = new Int32Array(limit);
  }

  /** Packets that wait. */
  get count(): number {
    return this.#count;
  }

  /** As Core's: takes a fragment of the running stage whose key is in `core.fragments`. */
  hold(slot: number): boolean {
    const core = this.#core;
    const { fragments } = core;
    const pair = packet.flowHash(slot);
    if (core.allocator.isLarge(slot) || !this.#hasRoom(pair)) return false;
    const i = this.#count++;
    this.#slots[i] = slot;
    for (let k = 0; k < KEY_WORDS; k++) this.#keys[i * KEY_WORDS + k] = fragments.key[k]!;
    this.#buckets[i] = fragments.bucket;
    this.#pairs[i] = pair;
    this.#sinceMs[i] = core.nowMs;
    packet.setStage(slot, core.stage);
    readyToWait(core.tables, slot);
    return true;
  }

  /**
   * One look, once a loop before anything is taken in. Hands those to `arrive` that need not wait
   * any more, and drops those whose time is up; returns how many it handed over.
   */
  turn(arrive: (slot: number, reason: number) => void): number {
    const core = this.#core;
    const { fragments, owners, nowMs } = core;
    const mayBeKnown = fragments.remembered !== this.#lookedUpAt;
    this.#lookedUpAt = fragments.remembered;
    let kept = 0;
    let released = 0;
    for (let i = 0; i < this.#count; i++) {
      const slot = this.#slots[i]!;
      // Another worker's now: it goes there, and only that one may look.
      const isForeign = owners[this.#buckets[i]!] !== core.worker;
      if (isForeign || (mayBeKnown && this.#isKnown(i))) {
        arrive(slot, readRingPacket(this.#history, core, slot));
        released++;
      } else if (((nowMs - this.#sinceMs[i]!) | 0) >= ORPHAN_MS) this.#expire(slot);
      else this.#move(i, kept++);
    }
    this.#count = kept;
    return released;
  }

  /** Drops all that waits. */
  clear(): void {
    for (let i = 0; i < this.#count; i++) this.#expire(this.#slots[i]!);
    this.#count = 0;
  }

  #hasRoom(pair: number): boolean {
    if (this.#count === this.#slots.length) return false;
    let ofPair = 0;
    for (let i = 0; i < this.#count; i++) if (this.#pairs[i] === pair) ofPair++;
    return ofPair < ORPHANS_OF_PAIR_MAX;
  }

  #isKnown(i: number): boolean {
    const { fragments, nowMs } = this.#core;
    for (let k = 0; k < KEY_WORDS; k++) fragments.key[k] = this.#keys[i * KEY_WORDS + k]!;
    fragments.bucket = this.#buckets[i]!;
    return fragments.recall(nowMs);
  }

  /** As the stage would have done it. */
  #expire(slot: number): void {
    const core = this.#core;
    core.stage = packet.stage(slot);
    core.counters.countStage(core.stage, 1);
    core.drop(slot, DROP["fragment-orphan"]);
  }

  #move(from: number, to: number): void {
    if (from === to) return;
    this.#slots[to] = this.#slots[from]!;
    this.#keys.copyWithin(to * KEY_WORDS, from * KEY_WORDS, (from + 1) * KEY_WORDS);
    this.#buckets[to] = this.#buckets[from]!;
    this.#pairs[to] = this.#pairs[from]!;
    this.#sinceMs[to] = this.#sinceMs[from]!;
  }
}
