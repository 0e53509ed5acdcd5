/**
 * Packets that came before what they need: another chassis sent them under tables that are newer
 * than all that this one has, and they name a datapath or a port that it does not know yet, or are
 * refused by rules that may not know their sender yet. They wait a moment for tables instead of
 * being dropped; the control thread is told who sent them and fetches what is missing. Run by the
 * worker that received them, or judged them.
 *
 * What waits has a stamp in front: its sender's, or one that says where it was to be judged. When
 * tables come, all of it is read anew, in its order, before anything else is taken in, so nothing
 * of a flow overtakes.
 */

import type { Core } from "@rhone/pipeline-stages/core";
import { GOES_ON } from "@rhone/pipeline-stages/parse";
import { EARLY_EXPIRED, EARLY_HELD, EARLY_REFUSED, EARLY_RELEASED } from "@rhone/rings/counters";
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { flowOf, isEarly, readRingPacket, readTunnelPacket, stampToWait } from "./hand-off.ts";
import type { TableHistory } from "./table-history.ts";

/** In all of a chassis; each worker that there may be has its share. */
export const EARLY_MAX = 1024;
/** Of one flow: what is sent before the first answer is little, and a flood shall not fill all. */
export const EARLY_FLOW_MAX = 8;
/** Super-frames: a worker has few slots that are large enough. */
const EARLY_LARGE_MAX = 16;
/** After this the tables will not come in time for whoever waits for an answer. */
export const EARLY_MS = 50;
/** Between two questions about the same sender. */
const ASK_MS = 25;
/** In place of a reason to drop for: a rule refused it, and says why when it does so again. */
const REFUSED = -2;
/** Senders whose last question is remembered. */
const SENDERS = 16;
const ADDRESS_WORDS = 4;

export interface EarlyOptions {
  readonly core: Core;
  readonly history: TableHistory;
  /** Packets that may wait here. */
  readonly limit: number;
  /** Told of the outer address that early packets come from: it is in `address[at..at+4)`. */
  onSender(address: Int32Array, at: number): void;
}

export class EarlyPackets {
  readonly #options: EarlyOptions;
  /** In the order in which they came, as are the arrays below. */
  readonly #slots: Int32Array;
  readonly #sources: Int32Array;
  readonly #flows: Int32Array;
  readonly #reasons: Int32Array;
  readonly #sinceMs: Int32Array;
  /** The generation under which a rule refused it. */
  readonly #generations: Uint32Array;
  #count = 0;
  #largeCount = 0;
  /** The edition under which all of them were read last. */
  #readUnder = 0;
  readonly #address = new Int32Array(ADDRESS_WORDS);
  readonly #senders = new Int32Array(SENDERS * ADDRESS_WORDS);
  readonly #askedMs = new Int32Array(SENDERS);

  constructor(options: EarlyOptions) {
    const { limit } = options;
    this.#options = options;
    this.#slots = new Int32Array(limit);
    this.#sources = new Int32Array(limit * ADDRESS_WORDS);
    this.#flows = new Int32Array(limit);
    this.#reasons = new Int32Array(limit);
    this.#sinceMs = new Int32Array(limit);
    this.#generations = new Uint32Array(limit);
  }

  /** Packets that wait. */
  get count(): number {
    return this.#count;
  }

  /**
   * Takes in a packet from the outer address in `sources[at..at+4)` that was read and is to be
   * dropped for `reason`, if it is only too early. False when it is to be dropped after all.
   */
  hold(slot: number, reason: number, sources: Int32Array, at: number): boolean {
    const { history } = this.#options;
    if (!isEarly(history, slot, reason)) return false;
    this.#ask(sources, at);
    if (!this.#add(slot, flowOf(slot), reason)) return false;
    const to = (this.#count - 1) * ADDRESS_WORDS;
    for (let k = 0; k < ADDRESS_WORDS; k++) this.#sources[to + k] = sources[at + k]!;
    return true;
  }

  /** As Core's: takes in a packet that the running stage is to refuse. */
  holdRefused(slot: number): boolean {
    const { core } = this.#options;
    const { tables } = core;
    const sender = tables.endpoints.rowOf(packet.origin(slot));
    if (sender >= 0) {
      tables.endpoints.copyAddress(sender, this.#address, 0);
      this.#ask(this.#address, 0);
    }
    if (!this.#add(slot, packet.flowHash(slot), REFUSED)) return false;
    this.#generations[this.#count - 1] = tables.generation;
    packet.setStage(slot, core.stage);
    packet.setFlags(slot, packet.flags(slot) | packet.FLAG_PLACED);
    stampToWait(tables, slot);
    return true;
  }

  /**
   * Once a loop with packets that wait, before anything is taken in. Hands `arrive` those that can
   * go on now, and, each with its reason, those that are to be dropped. Returns how many went on.
   */
  turn(arrive: (slot: number, reason: number) => void): number {
    const { core, history } = this.#options;
    const { edition } = history.newest;
    const isNews = edition !== this.#readUnder;
    this.#readUnder = edition;
    let kept = 0;
    let goingOn = 0;
    for (let i = 0; i < this.#count; i++) {
      const slot = this.#slots[i]!;
      const isOver = ((core.nowMs - this.#sinceMs[i]!) | 0) >= EARLY_MS;
      if (!isOver && !isNews) {
        this.#move(i, kept++);
        continue;
      }
      const wasRefused = this.#reasons[i] === REFUSED;
      const isReady = !wasRefused || isOver || this.#isNewer(i);
      const reason = isReady ? this.#readAgain(i) : REFUSED;
      if (!isOver && (!isReady || (!wasRefused && isEarly(history, slot, reason)))) {
        this.#reasons[i] = reason;
        this.#move(i, kept++);
        continue;
      }
      if (reason === GOES_ON) goingOn++;
      const isReleased = reason === GOES_ON && (!wasRefused || this.#isNewer(i));
      core.counters.countEarly(isReleased ? EARLY_RELEASED : EARLY_EXPIRED);
      if (core.allocator.isLarge(slot)) this.#largeCount--;
      arrive(slot, reason);
    }
    this.#count = kept;
    return goingOn;
  }

  /** Drops all that wait: the worker ends. */
  clear(): void {
    const { core } = this.#options;
    for (let i = 0; i < this.#count; i++) {
      core.counters.countEarly(EARLY_EXPIRED);
      const reason = this.#reasons[i]!;
      core.counters.countPortDrop(-1, reason === REFUSED ? DROP["acl-drop"] : reason);
      core.allocator.give(this.#slots[i]!);
    }
    this.#count = 0;
    this.#largeCount = 0;
  }

  /** Whether there are newer tables than those under which a rule refused it. */
  #isNewer(i: number): boolean {
    return this.#options.history.newest.generation >>> 0 !== this.#generations[i]!;
  }

  #readAgain(i: number): number {
    const { core, history } = this.#options;
    const slot = this.#slots[i]!;
    if (this.#reasons[i] === REFUSED) return readRingPacket(history, core, slot);
    for (let k = 0; k < ADDRESS_WORDS; k++) {
      core.key[k] = this.#sources[i * ADDRESS_WORDS + k]!;
    }
    return readTunnelPacket(history, core, slot);
  }

  #move(from: number, to: number): void {
    if (from === to) return;
    this.#slots[to] = this.#slots[from]!;
    for (let k = 0; k < ADDRESS_WORDS; k++) {
      this.#sources[to * ADDRESS_WORDS + k] = this.#sources[from * ADDRESS_WORDS + k]!;
    }
    this.#flows[to] = this.#flows[from]!;
    this.#reasons[to] = this.#reasons[from]!;
    this.#sinceMs[to] = this.#sinceMs[from]!;
    this.#generations[to] = this.#generations[from]!;
  }

  #add(slot: number, flow: number, reason: number): boolean {
    const { core, history } = this.#options;
    if (!this.#hasRoom(slot, flow)) {
      core.counters.countEarly(EARLY_REFUSED);
      return false;
    }
    const i = this.#count++;
    this.#slots[i] = slot;
    this.#flows[i] = flow;
    this.#reasons[i] = reason;
    this.#sinceMs[i] = core.nowMs;
    if (core.allocator.isLarge(slot)) this.#largeCount++;
    this.#readUnder = history.newest.edition;
    core.counters.countEarly(EARLY_HELD);
    return true;
  }

  #hasRoom(slot: number, flow: number): boolean {
    if (this.#count === this.#slots.length) return false;
    const { allocator } = this.#options.core;
    if (allocator.isLarge(slot) && this.#largeCount === EARLY_LARGE_MAX) return false;
    let ofFlow = 0;
    for (let i = 0; i < this.#count; i++) if (this.#flows[i] === flow) ofFlow++;
    return ofFlow < EARLY_FLOW_MAX;
  }

  /** Says who sends, unless that was said a moment ago. */
  #ask(sources: Int32Array, at: number): void {
    const { core, onSender } = this.#options;
    const senders = this.#senders;
    let isKnown = true;
    const sender = (sources[at]! ^ sources[at + 1]! ^ sources[at + 3]!) & (SENDERS - 1);
    for (let k = 0; k < ADDRESS_WORDS; k++) {
      const word = sources[at + k]!;
      if (senders[sender * ADDRESS_WORDS + k] !== word) isKnown = false;
      senders[sender * ADDRESS_WORDS + k] = word;
    }
    if (isKnown && ((core.nowMs - this.#askedMs[sender]!) | 0) < ASK_MS) return;
    this.#askedMs[sender] = core.nowMs;
    onSender(sources, at);
  }
}
