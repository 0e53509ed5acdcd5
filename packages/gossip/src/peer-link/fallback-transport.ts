/**
 * Two paths as one: NATS where it works, and the links between chassis where it does not. Runs on
 * the control thread.
 *
 * A message goes to everybody over NATS, and over its link as well to each peer that does not hear
 * us there. Who hears whom is not guessed: each side tells the other over the link whether it has
 * heard it over NATS of late. That finds a nats-server that is down, one that hangs, and a hole in
 * their mesh, which no server reports. For some seconds a message may come twice or not at all; the
 * protocols above expect that.
 */

import { slownessAmong } from "../pace.ts";
import { PEERS_MAX } from "../peer-table.ts";
import { originOf } from "../subjects.ts";
import type { MessageHandler, SetTimer, Transport } from "../transport.ts";
import type { PeerLinks } from "./peer-links.ts";

/**
 * A chassis says something every second (replicator.ts), or less often among many; of three, one
 * may be lost.
 */
const SILENCE_MS = 2500;
const CHECK_INTERVAL_MS = 250;
/**
 * After so many checks a peer is told again what it was told before: it may have been said over a
 * connection that was at its end.
 */
const CHECKS_UNTIL_REPEATED = 20;
/** Peers that change at the same time are one reason to ask for what was missed. */
const RECOVERY_DELAY_MS = 50;
/** Everybody answers, so a chassis whose links come up one by one must not ask with each. */
const RECOVERY_INTERVAL_MS = 1000;
const ORIGIN_PREFIX = "rhone.o.";
const REQUEST_PREFIX = "rhone.req.";

/** What is asked of the links; peer-links.ts has the real ones. */
export type Links = Transport &
  Pick<PeerLinks, "peers" | "isLinked" | "publishTo" | "tellHearing" | "onEvents">;

export interface FallbackTransportOptions {
  readonly nats: Transport;
  readonly links: Links;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  readonly setTimer: SetTimer;
  readonly silenceMs?: number;
}

/**
 * How much it matters that a message to one peer gets there. "surely": it goes on both paths;
 * "once": on its link, or over NATS when it has none; "back": on the path on which the message came
 * that is being handled.
 */
export type Way = "surely" | "once" | "back";

/** How messages get to a peer now. */
export interface PeerPath {
  readonly name: string;
  readonly isLinked: boolean;
  /** Whether it says that it hears us over NATS. */
  readonly hearsUs: boolean;
  /** Whether we hear it over NATS. */
  readonly isHeard: boolean;
}

export class FallbackTransport implements Transport {
  readonly #options: FallbackTransportOptions;
  #silenceMs: number;
  /** When each origin was last heard over NATS. */
  readonly #heardMs = new Map<string, number>();
  /** What each linked peer was last told. */
  readonly #told = new Map<string, boolean>();
  /** Linked peers that say they hear us. */
  readonly #hearsUs = new Set<string>();
  readonly #listeners = new Set<() => void>();
  readonly #undo: (() => void)[];
  #cancelCheck: () => void = () => {};
  #checkCount = 0;
  #cancelRecovery: (() => void) | null = null;
  #recoveredMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;
  #linkedCount = 0;
  /** The path of the message that is being handled. */
  #arrivedOn: Transport | null = null;

  /** Owns both transports from now on. */
  constructor(options: FallbackTransportOptions) {
    this.#options = options;
    this.#silenceMs = options.silenceMs ?? SILENCE_MS;
    this.#undo = [
      options.nats.onReconnect(() => this.#recover()),
      options.links.onEvents({
        onLink: (peer, isUp) => this.#onLink(peer, isUp),
        onHearing: (peer, hearsUs) => this.#onHearing(peer, hearsUs),
      }),
    ];
    this.#scheduleCheck();
  }

  get isConnected(): boolean {
    return this.#options.nats.isConnected || this.#options.links.isConnected;
  }

  /** Whether the chassis' own nats-server takes messages. */
  get isNatsConnected(): boolean {
    return this.#options.nats.isConnected;
  }

  /** Messages that went over a link since NATS did not reach the peer. */
  get linkedCount(): number {
    return this.#linkedCount;
  }

  /** Every peer with a link, or heard over NATS of late, by name. */
  get paths(): PeerPath[] {
    const { links } = this.#options;
    const linked = new Set(links.peers);
    const heard = [...this.#heardMs.keys()].filter((name) => this.#isHeard(name));
    return [...new Set([...linked, ...heard])].sort().map((name) => ({
      name,
      isLinked: linked.has(name),
      hearsUs: this.#reaches(name),
      isHeard: this.#isHeard(name),
    }));
  }

  publish(subject: string, data: Uint8Array): void {
    const { nats, links } = this.#options;
    nats.publish(subject, data);
    const isForPeer = subject.startsWith(REQUEST_PREFIX);
    for (const peer of isForPeer ? [originOf(subject) ?? ""] : links.peers) {
      if (this.#reaches(peer)) continue;
      this.#linkedCount++;
      links.publishTo(peer, subject, data);
    }
  }

  /** Sends to one peer. */
  sendTo(peer: string, subject: string, data: Uint8Array, way: Way = "surely"): void {
    const { nats, links } = this.#options;
    const direct = links.isLinked(peer) ? links : nats;
    const only = way === "once" ? direct : way === "back" ? this.#arrivedOn : null;
    if (only !== links) nats.publish(subject, data);
    if (only !== nats) links.publishTo(peer, subject, data);
  }

  subscribe(subject: string, handler: MessageHandler): () => void {
    const { nats, links } = this.#options;
    const ends = [
      nats.subscribe(subject, (data, respond, full) => {
        if (full.startsWith(ORIGIN_PREFIX)) this.#hear(originOf(full) ?? "");
        this.#handle(nats, () => handler(data, respond, full));
      }),
      links.subscribe(subject, (data, respond, full) => {
        this.#handle(links, () => handler(data, respond, full));
      }),
    ];
    return () => {
      for (const end of ends) end();
    };
  }

  /** On one path, and when that fails on the other; each has half of the time. */
  async request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const { nats, links } = this.#options;
    const isForPeer = subject.startsWith(REQUEST_PREFIX);
    const isNatsFirst = isForPeer ? this.#reaches(originOf(subject) ?? "") : nats.isConnected;
    const [first, second] = isNatsFirst ? [nats, links] : [links, nats];
    const startMs = this.#options.now();
    try {
      const patienceMs = second.isConnected ? timeoutMs / 2 : timeoutMs;
      return await first.request(subject, data, patienceMs);
    } catch (error) {
      const leftMs = timeoutMs - (this.#options.now() - startMs);
      if (!second.isConnected || leftMs <= 0 || this.#isClosed) throw error;
      return second.request(subject, data, leftMs);
    }
  }

  onReconnect(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelCheck();
    this.#cancelRecovery?.();
    for (const undo of this.#undo) undo();
    await Promise.all([this.#options.nats.close(), this.#options.links.close()]);
  }

  #handle(path: Transport, run: () => void): void {
    this.#arrivedOn = path;
    try {
      run();
    } finally {
      this.#arrivedOn = null;
    }
  }

  /** Whether what goes out over NATS gets to the peer. */
  #reaches(peer: string): boolean {
    const { nats, links } = this.#options;
    if (!nats.isConnected) return false;
    // Without a link nobody could tell us; then there is no other way either.
    return links.isLinked(peer) ? this.#hearsUs.has(peer) : true;
  }

  #isHeard(peer: string): boolean {
    const { nats, now } = this.#options;
    const heardMs = this.#heardMs.get(peer);
    return nats.isConnected && heardMs !== undefined && now() - heardMs < this.#silenceMs;
  }

  #hear(peer: string): void {
    const isNew = !this.#isHeard(peer);
    if (this.#heardMs.size >= PEERS_MAX && !this.#heardMs.has(peer)) return;
    this.#heardMs.set(peer, this.#options.now());
    if (isNew) this.#tell(peer);
  }

  /** Tells a peer what it does not know yet. */
  #tell(peer: string): void {
    const { links } = this.#options;
    const isHeard = this.#isHeard(peer);
    if (!links.isLinked(peer) || this.#told.get(peer) === isHeard) return;
    this.#told.set(peer, isHeard);
    links.tellHearing(peer, isHeard);
  }

  #scheduleCheck(): void {
    this.#cancelCheck = this.#options.setTimer(() => {
      const { peers } = this.#options.links;
      const slowness = slownessAmong(Math.max(peers.length, this.#heardMs.size));
      this.#silenceMs = (this.#options.silenceMs ?? SILENCE_MS) * slowness;
      if (++this.#checkCount >= CHECKS_UNTIL_REPEATED * slowness) {
        this.#checkCount = 0;
        this.#told.clear();
      }
      for (const peer of peers) this.#tell(peer);
      for (const [peer, heardMs] of this.#heardMs) {
        // Silence that long says nothing any more, and names must not pile up.
        if (this.#options.now() - heardMs > this.#silenceMs * 10) this.#heardMs.delete(peer);
      }
      this.#scheduleCheck();
    }, CHECK_INTERVAL_MS);
  }

  #onLink(peer: string, isUp: boolean): void {
    this.#told.delete(peer);
    this.#hearsUs.delete(peer);
    if (!isUp) return;
    this.#tell(peer);
    // Beside NATS a link is no news: what a hole in the mesh kept from us comes with a heartbeat.
    if (!this.#options.nats.isConnected) this.#recover();
  }

  #onHearing(peer: string, hearsUs: boolean): void {
    const did = this.#hearsUs.has(peer);
    if (hearsUs) this.#hearsUs.add(peer);
    else this.#hearsUs.delete(peer);
    if (did && !hearsUs) this.#recover(); // What was sent until now may be lost.
  }

  #recover(): void {
    const sinceMs = this.#options.now() - this.#recoveredMs;
    const delayMs = Math.max(RECOVERY_DELAY_MS, RECOVERY_INTERVAL_MS - sinceMs);
    this.#cancelRecovery ??= this.#options.setTimer(() => {
      this.#cancelRecovery = null;
      this.#recoveredMs = this.#options.now();
      for (const listener of this.#listeners) listener();
    }, delayMs);
  }
}
