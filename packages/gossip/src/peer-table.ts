/** The chassis that we have heard of, and what they last said. Runs on the control thread. */
import type { HeartbeatMessage } from "./codec.ts";

/** Peers remembered; of more, nothing is taken in. */
export const PEERS_MAX = 1024;
/**
 * So late a heartbeat of an earlier life can be. After it a lower incarnation is that of a chassis
 * which forgot its last one, and whose clock is behind what it was.
 */
const LATE_MAX_MS = 10_000;

export interface Peer {
  readonly name: string;
  /** Address that tunnels to it end at; "" until its first heartbeat. */
  readonly underlay: string;
  /** As of its last heartbeat. */
  readonly revision: number;
  /** When it was last heard, by the clock `now` of the replicator. */
  readonly lastSeenMs: number;
  /** When we last held everything that it had written, by that clock; null when never. */
  readonly caughtUpMs: number | null;
  /** When it last held the same as we did; null when never. */
  readonly sameMs: number | null;
  /** When we last held all that it held, its own or not; null when never. */
  readonly heldMs: number | null;
  readonly isConnected: boolean;
  /** Whether it held the same entries as we do now, at its last heartbeat. */
  readonly isInSync: boolean;
}

interface Known {
  incarnation: number;
  /** When a heartbeat of it came last. */
  saidMs: number;
  revision: number;
  caughtUpMs: number | null;
  sameMs: number | null;
  heldMs: number | null;
  hash: string;
  underlay: string;
  /** Of packed messages; 0 until it said that it reads some. */
  format: number;
  lastSeenMs: number;
}

export interface PeerTableOptions {
  readonly now: () => number;
  /** Silence after which a peer is forgotten. */
  readonly forgetMs: number;
}

export class PeerTable {
  readonly #options: PeerTableOptions;
  readonly #known = new Map<string, Known>();

  constructor(options: PeerTableOptions) {
    this.#options = options;
  }

  /**
   * Takes a heartbeat in; `isCaughtUp` says whether we hold all that its sender wrote, `isSame`
   * whether we hold the same. False when the table is full.
   */
  heartbeat(message: HeartbeatMessage, isCaughtUp: boolean, isSame: boolean): boolean {
    const known = this.#hear(message.from);
    if (known === null) return false;
    const nowMs = this.#options.now();
    const isOlder = message.incarnation < known.incarnation;
    if (isOlder && nowMs - known.saidMs < LATE_MAX_MS) return true; // Late, of an earlier life.
    known.incarnation = message.incarnation;
    known.saidMs = nowMs;
    if (isSame) known.sameMs = nowMs;
    if (isCaughtUp) known.caughtUpMs = nowMs;
    known.revision = message.revision;
    known.hash = message.hash;
    known.underlay = message.underlay;
    known.format = message.format;
    return true;
  }

  /** We hold all that it held at `atMs`. */
  held(name: string, atMs: number): void {
    const known = this.#known.get(name);
    if (known !== undefined) known.heldMs = Math.max(known.heldMs ?? atMs, atMs);
  }

  /** It said something else. False when the table is full. */
  hear(name: string): boolean {
    return this.#hear(name) !== null;
  }

  /** How many there are. */
  get size(): number {
    return this.#known.size;
  }

  /** What it said that it reads; 0 when it is not known. */
  formatOf(name: string): number {
    return this.#known.get(name)?.format ?? 0;
  }

  /** The latest that everybody reads who was heard within `silenceMs`; 0 when nobody was. */
  oldestFormat(silenceMs: number): number {
    const seenAfterMs = this.#options.now() - silenceMs;
    let oldest = Number.POSITIVE_INFINITY;
    for (const { format, lastSeenMs } of this.#known.values()) {
      if (lastSeenMs >= seenAfterMs) oldest = Math.min(oldest, format);
    }
    return oldest === Number.POSITIVE_INFINITY ? 0 : oldest;
  }

  /**
   * Every known peer by name; `hash` is ours. After `silenceMs` of silence one does not count as
   * connected.
   */
  list(hash: string, silenceMs: number): Peer[] {
    const seenAfterMs = this.#options.now() - silenceMs;
    return [...this.#known]
      .map(([name, known]) => ({
        name,
        underlay: known.underlay,
        revision: known.revision,
        lastSeenMs: known.lastSeenMs,
        caughtUpMs: known.caughtUpMs,
        sameMs: known.sameMs,
        heldMs: known.heldMs,
        isConnected: known.lastSeenMs >= seenAfterMs,
        isInSync: known.hash === hash,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Makes room: drops the peers that have been silent for long. */
  forgetSilent(): void {
    const seenAfterMs = this.#options.now() - this.#options.forgetMs;
    for (const [name, known] of this.#known) {
      if (known.lastSeenMs < seenAfterMs) this.#known.delete(name);
    }
  }

  #hear(name: string): Known | null {
    let known = this.#known.get(name);
    if (known === undefined) {
      if (this.#known.size >= PEERS_MAX) return null;
      const never = { caughtUpMs: null, sameMs: null, heldMs: null, lastSeenMs: 0 };
      const nothing = { incarnation: -1, saidMs: 0, revision: 0, hash: "", underlay: "" };
      known = { ...nothing, format: 0, ...never };
      this.#known.set(name, known);
    }
    known.lastSeenMs = this.#options.now();
    return known;
  }
}
