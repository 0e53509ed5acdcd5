/**
 * Fetches what a peer holds, page by page, and merges it: the repair of everything that a message
 * should have told and did not. Runs on the control thread.
 */
import type { Store } from "@rhone/state/store";
import { decode, encode } from "./codec.ts";
import { PEERS_MAX } from "./peer-table.ts";
import * as subjects from "./subjects.ts";
import type { Summary } from "./summary.ts";
import type { Transport } from "./transport.ts";

/** Peers fetched from at the same time: one that hangs must not stop the repair. */
const IN_FLIGHT_MAX = 2;
/** Pages of one fetch: 1 GiB. */
const PAGES_MAX = 4096;

export interface PullerOptions {
  readonly self: string;
  readonly store: Store;
  readonly summary: Summary;
  readonly transport: Transport;
  readonly now: () => number;
  /** Time between two fetches from one peer, at least. */
  readonly restMs: number;
  /** For one page. */
  readonly timeoutMs: number;
}

/** Two states of knowledge that a fetch could not bring together. */
interface Settled {
  readonly theirs: string;
  readonly ours: string;
}

export class Puller {
  readonly #options: PullerOptions;
  readonly #waiting = new Map<string, string>();
  readonly #inFlight = new Set<string>();
  readonly #startedMs = new Map<string, number>();
  readonly #settled = new Map<string, Settled>();
  #isStopped = false;
  #pullCount = 0;
  #failureCount = 0;
  #newsCount = 0;

  constructor(options: PullerOptions) {
    this.#options = options;
  }

  /** Fetches begun. */
  get pullCount(): number {
    return this.#pullCount;
  }

  /** Fetches that ended early: no answer, or one that was malformed. */
  get failureCount(): number {
    return this.#failureCount;
  }

  /** Entries that fetches brought and we did not have. */
  get newsCount(): number {
    return this.#newsCount;
  }

  /**
   * Fetches from `peer` soon, if its hash `theirs` differs from ours then. Does nothing where that
   * would be too often, or has already been seen to change nothing: a peer that holds entries we
   * refuse differs for ever. Whoever calls does so again with the peer's next heartbeat. `theirs`
   * is "" when it is not known but must differ.
   */
  want(peer: string, theirs: string): void {
    const { now, restMs } = this.#options;
    if (this.#isStopped || this.#inFlight.has(peer)) return;
    const startedMs = this.#startedMs.get(peer);
    if (startedMs !== undefined && now() - startedMs < restMs) return;
    if (this.#startedMs.size > PEERS_MAX) this.reset(); // Names of long ago.
    this.#waiting.set(peer, theirs);
    this.#startNext();
  }

  /** Forgets a connection's worth of caution: after an outage every peer may be asked at once. */
  reset(): void {
    this.#startedMs.clear();
    this.#settled.clear();
  }

  stop(): void {
    this.#isStopped = true;
    this.#waiting.clear();
  }

  #startNext(): void {
    for (const [peer, theirs] of this.#waiting) {
      if (this.#inFlight.size >= IN_FLIGHT_MAX) return;
      this.#waiting.delete(peer);
      if (!this.#isWorthwhile(peer, theirs)) continue;
      this.#inFlight.add(peer);
      this.#startedMs.set(peer, this.#options.now());
      this.#pullCount++;
      void this.#pull(peer, theirs).finally(() => {
        this.#inFlight.delete(peer);
        this.#startNext();
      });
    }
  }

  #isWorthwhile(peer: string, theirs: string): boolean {
    const ours = this.#options.summary.hash;
    const settled = this.#settled.get(peer);
    return theirs !== ours && !(settled?.theirs === theirs && settled.ours === ours);
  }

  async #pull(peer: string, theirs: string): Promise<void> {
    const { store, summary } = this.#options;
    let after = "";
    let newsCount = 0;
    for (let page = 0; page < PAGES_MAX; page++) {
      const reply = await this.#request(peer, after);
      if (this.#isStopped) return;
      if (reply === null) {
        this.#failureCount++;
        return;
      }
      newsCount += store.merge(reply.entries);
      after = reply.next;
      if (after === "") break;
    }
    this.#newsCount += newsCount;
    if (newsCount === 0 && theirs !== "") this.#settled.set(peer, { theirs, ours: summary.hash });
  }

  /** Null when no proper page came. */
  async #request(peer: string, after: string) {
    const { self, transport, timeoutMs } = this.#options;
    const request = encode({ type: "sync-request", from: self, after });
    let data: Uint8Array;
    try {
      data = await transport.request(subjects.sync(peer), request, timeoutMs);
    } catch {
      return null; // Nobody there, or nobody in time.
    }
    const reply = decode(data);
    if (reply?.type !== "sync-reply" || reply.from !== peer) return null;
    // Pages go forward, or a fetch would not end.
    return reply.next === "" || reply.next > after ? reply : null;
  }
}
