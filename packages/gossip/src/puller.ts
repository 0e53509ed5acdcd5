/**
 * Fetches what a peer holds and we do not, and merges it: the repair of everything that a message
 * should have told and did not. Runs on the control thread.
 *
 *   1. The peer sends what is behind our vector, up to which nothing is missing here. All pages are
 *      merged at once, so that nobody sees half of what was done together.
 *   2. Where that brings nothing twice in a row and we still differ, in the same way or although
 *      our vectors are the same, the sums over parts of what is held show which parts do, and these
 *      are fetched whole. It should never be needed; it is what makes faults of disks, and of this
 *      program, heal. While changes are on their way chassis differ, too, but each time in another
 *      way.
 */
import { BUCKETS, type Cursor, SUM_SIZE, type Vector } from "@rhone/state/ledger";
import type { Merged, Store } from "@rhone/state/store";
import type { Portion } from "@rhone/state/write";
import { decode, encode, type Message, type SyncReplyMessage } from "./codec.ts";
import { covers } from "./convergence.ts";
import { Patience } from "./patience.ts";
import { PEERS_MAX } from "./peer-table.ts";
import * as subjects from "./subjects.ts";
import type { SetTimer, Transport } from "./transport.ts";

/** Peers fetched from at the same time: one that hangs must not stop the repair. */
const IN_FLIGHT_MAX = 2;
/** With more that wait, a peer is asked for all that it holds, as that leaves fewer to be asked. */
const WAITING_MAX = 4;
/** Questions and answers get lost: so often one is asked. */
const ATTEMPTS_MAX = 3;
/** So long after one got lost it is expected that more are. */
const LOSSY_MS = 10_000;
/** Pages of one fetch: 1 GiB. */
const PAGES_MAX = 4096;
/**
 * Seals of one chassis that are taken in at once, some 20 ms: what others say in the meantime must
 * not wait for a chassis that says much.
 */
const SLICE_MAX = 64;

export interface PullerOptions {
  readonly self: string;
  readonly store: Store;
  readonly transport: Transport;
  readonly now: () => number;
  /**
   * Time between two fetches from one peer, at least; and half of it between fetches from peers
   * whose own writes we have.
   */
  readonly restMs: number;
  /** For one page, at most each time that it is asked for. */
  readonly timeoutMs: number;
  readonly setTimer: SetTimer;
  /** Hears of the certificates of a page before what they are needed for is merged. */
  readonly onCertificates: (certificates: readonly string[]) => void;
  /** Hears that we hold all that a peer held at a time of the clock `now`. */
  readonly onFetched: (peer: string, atMs: number) => void;
  /** Hears what came of a merge. */
  readonly onMerged: (merged: Merged) => void;
}

/** What a peer said that it holds. */
export interface Said {
  readonly hash: string;
  /** Of its own latest transaction. */
  readonly clock: number;
}

export interface WantOptions {
  /** Time since the last fetch from the peer, at least. */
  readonly restMs?: number;
  /** Only what the peer wrote itself; all that it holds where that did not help before. */
  readonly isOwnOnly?: boolean;
}

type Found = Pick<SyncReplyMessage, "portions" | "vector" | "isBehind" | "hash">;

interface Wanted {
  readonly said: Said | null;
  readonly isOwnOnly: boolean;
}

/** Two states of knowledge that a fetch could not bring together. */
interface Settled {
  readonly theirs: string;
  readonly ours: string;
}

export class Puller {
  readonly #options: PullerOptions;
  readonly #waiting = new Map<string, Wanted>();
  readonly #inFlight = new Set<string>();
  readonly #startedMs = new Map<string, number>();
  readonly #settled = new Map<string, Settled>();
  /** Peers whose last answer brought nothing, although they differ. */
  readonly #fruitless = new Map<string, Settled>();
  /** Peers of which the last fetch of their own writes brought nothing. */
  readonly #unhelpful = new Set<string>();
  readonly #patience: Patience;
  /** When an answer was last waited for in vain. */
  #missedMs = Number.NEGATIVE_INFINITY;
  /** When a peer was last asked of which we have all that it wrote itself. */
  #gleanedMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;
  #pullCount = 0;
  #comparisonCount = 0;
  #failureCount = 0;
  #newsCount = 0;

  constructor(options: PullerOptions) {
    this.#options = options;
    this.#patience = new Patience(options.timeoutMs);
  }

  /** Whether a question or its answer got lost of late. */
  get isLossy(): boolean {
    return this.#options.now() - this.#missedMs < LOSSY_MS;
  }

  /** Fetches begun. */
  get pullCount(): number {
    return this.#pullCount;
  }

  /** Of these, how many had to compare sums. */
  get comparisonCount(): number {
    return this.#comparisonCount;
  }

  /** Fetches that ended early: no answer, or one that was malformed. */
  get failureCount(): number {
    return this.#failureCount;
  }

  /** Writes that fetches brought and we did not have. */
  get newsCount(): number {
    return this.#newsCount;
  }

  /**
   * Fetches from `peer` soon, if we differ then from what it `said`; null when that is not known
   * but must differ. Does nothing where that would be too often, or has already been seen to change
   * nothing: a peer that holds entries we refuse differs for ever. Whoever calls does so again with
   * the peer's next heartbeat.
   */
  want(peer: string, said: Said | null, options: WantOptions = {}): void {
    const { now } = this.#options;
    const { restMs = this.#options.restMs, isOwnOnly = false } = options;
    if (this.#isStopped || this.#inFlight.has(peer)) return;
    const startedMs = this.#startedMs.get(peer);
    if (startedMs !== undefined && now() - startedMs < restMs) return;
    if (this.#startedMs.size > PEERS_MAX) this.reset(); // Names of long ago.
    const isAll = !isOwnOnly || this.#waiting.get(peer)?.isOwnOnly === false;
    this.#waiting.set(peer, { said, isOwnOnly: !isAll && !this.#unhelpful.delete(peer) });
    this.#startNext();
  }

  /** Forgets a connection's worth of caution: after an outage every peer may be asked at once. */
  reset(): void {
    this.#startedMs.clear();
    this.#settled.clear();
    this.#fruitless.clear();
    this.#unhelpful.clear();
    this.#gleanedMs = Number.NEGATIVE_INFINITY;
  }

  stop(): void {
    this.#isStopped = true;
    this.#waiting.clear();
  }

  #startNext(): void {
    for (const [peer, { said, isOwnOnly }] of this.#waiting) {
      if (this.#inFlight.size >= IN_FLIGHT_MAX) return;
      this.#waiting.delete(peer);
      if (said !== null && !this.#isWorthwhile(peer, said)) continue;
      this.#inFlight.add(peer);
      this.#startedMs.set(peer, this.#options.now());
      this.#pullCount++;
      const isAlone = isOwnOnly && this.#waiting.size <= WAITING_MAX;
      const done = isAlone ? this.#pullOwn(peer) : this.#pull(peer, said?.hash ?? null);
      void done.finally(() => {
        this.#inFlight.delete(peer);
        this.#startNext();
      });
    }
  }

  /**
   * What somebody lacks whose own writes we have may be ours or theirs, and may be on its way: when
   * a thousand start, each differs from each. One of them at a time is asked.
   */
  #isWorthwhile(peer: string, { hash: theirs, clock }: Said): boolean {
    const { store, now, restMs, onFetched } = this.#options;
    const ours = store.root;
    const settled = this.#settled.get(peer);
    if (theirs === ours) return false;
    if (settled?.theirs === theirs && settled.ours === ours) {
      onFetched(peer, now()); // All that we take.
      return false;
    }
    if (store.clockOf(peer) < clock) return true;
    if (now() - this.#gleanedMs < restMs / 2) return false;
    this.#gleanedMs = now();
    return true;
  }

  /** With many chassis the vector of all is longer than most of what is lost. */
  async #pullOwn(peer: string): Promise<void> {
    const { self, store } = this.#options;
    const vector = { [peer]: store.clockOf(peer) };
    const found = await this.#pages(peer, (after) => {
      return { type: "sync-request", from: self, vector, isPartial: true, after };
    });
    if (found === null) return;
    let news = 0;
    const slices = slicesOf(found.portions);
    for (const [index, slice] of slices.entries()) {
      const isLast = index === slices.length - 1;
      news += this.#merge(slice, isLast ? found.vector : undefined);
      if (!isLast) await new Promise<void>((resolve) => this.#options.setTimer(resolve, 0));
      if (this.#isStopped) return;
    }
    if (news === 0) this.#unhelpful.add(peer);
  }

  async #pull(peer: string, theirs: string | null): Promise<void> {
    const { self, store, now, onFetched } = this.#options;
    const { vector } = store;
    const askedMs = now();
    const found = await this.#pages(peer, (after) => {
      return { type: "sync-request", from: self, vector, isPartial: false, after };
    });
    if (found === null) return;
    const news = this.#merge(found.portions, found.vector);
    onFetched(peer, askedMs);
    if (news > 0 || theirs === null) {
      this.#fruitless.delete(peer);
      return;
    }
    if (found.hash === store.root) return;
    const before = this.#fruitless.get(peer);
    this.#fruitless.set(peer, { theirs: found.hash, ours: store.root });
    if (before === undefined) return;
    const isStill = before.theirs === found.hash && before.ours === store.root;
    const isSameVector = !found.isBehind && covers(store.vector, found.vector);
    if (!isStill && !isSameVector) return;
    this.#fruitless.delete(peer);
    if (!(await this.#compare(peer)) || this.#isStopped) return;
    this.#settled.set(peer, { theirs, ours: store.root });
  }

  /** Fetches the parts that differ. False when that failed. */
  async #compare(peer: string): Promise<boolean> {
    const { self, store } = this.#options;
    this.#comparisonCount++;
    const reply = await this.#request(peer, { type: "sums-request", from: self });
    if (this.#isStopped) return false;
    if (reply?.type !== "sums-reply") {
      this.#failureCount++;
      return false;
    }
    const buckets = differing(store.sums(), reply.sums);
    const found = await this.#pages(peer, (after) => {
      return { type: "buckets-request", from: self, buckets, after };
    });
    if (found === null) return false;
    this.#merge(found.portions, undefined);
    return true;
  }

  #merge(portions: readonly Portion[], vector: Vector | undefined): number {
    const merged = this.#options.store.merge(portions, vector);
    this.#newsCount += merged.news;
    this.#options.onMerged(merged);
    return merged.news;
  }

  /** All pages of an answer, with the vector and the hash of its end; null when one is missing. */
  async #pages(peer: string, requestOf: (after: Cursor | null) => Message): Promise<Found | null> {
    const portions: Portion[] = [];
    let after: Cursor | null = null;
    let first: SyncReplyMessage | null = null;
    for (let page = 0; page < PAGES_MAX; page++) {
      const reply: Message | null = await this.#request(peer, requestOf(after));
      if (this.#isStopped) return null;
      // Pages go forward, or a fetch would not end.
      if (reply?.type !== "sync-reply" || !isForward(after, reply.next)) break;
      this.#options.onCertificates(reply.certificates);
      portions.push(...reply.portions);
      // What came to the peer since the first page may lie before it.
      first ??= reply;
      const { vector, isBehind } = first;
      if (reply.next === null) return { portions, vector, isBehind, hash: reply.hash };
      after = reply.next;
    }
    this.#failureCount++;
    return null;
  }

  /** Null when no proper answer came. */
  async #request(peer: string, request: Message): Promise<Message | null> {
    const question = encode(request);
    let data: Uint8Array | null = null;
    for (let attempt = 1; attempt <= ATTEMPTS_MAX && data === null; attempt++) {
      const answer = await this.#ask(peer, question);
      if (answer === "nobody" || this.#isStopped) return null;
      if (answer !== "late") data = answer;
    }
    if (data === null) return null;
    const reply = decode(data);
    return reply?.from === peer ? reply : null;
  }

  /** Asks once; "nobody" when the transport knows before the time is over that none will answer. */
  async #ask(peer: string, question: Uint8Array): Promise<Uint8Array | "late" | "nobody"> {
    const { transport, now } = this.#options;
    const { ms } = this.#patience;
    const startMs = now();
    try {
      const data = await transport.request(subjects.sync(peer), question, ms);
      this.#patience.answered(now() - startMs);
      return data;
    } catch {
      if (now() - startMs < ms / 2) return "nobody";
      this.#missedMs = now();
      this.#patience.missed();
      return "late";
    }
  }
}

/**
 * Parts of about SLICE_MAX, in their order, each with whole transactions: as if they had been heard
 * one after the other. At least one.
 */
function slicesOf(portions: readonly Portion[]): Portion[][] {
  const slices: Portion[][] = [[]];
  let last: Portion | undefined;
  for (const portion of portions) {
    const isNext = last !== undefined && last.seal.clock !== portion.seal.clock;
    if (isNext && slices.at(-1)!.length >= SLICE_MAX) slices.push([]);
    slices.at(-1)!.push(portion);
    last = portion;
  }
  return slices;
}

function isForward(from: Cursor | null, to: Cursor | null): boolean {
  if (from === null || to === null) return true;
  if (from.origin !== to.origin) return to.origin > from.origin;
  return to.clock > from.clock || (to.clock === from.clock && to.part > from.part);
}

function differing(ours: Uint8Array, theirs: Uint8Array): number[] {
  const buckets = Array.from({ length: BUCKETS }, (_, bucket) => bucket);
  return buckets.filter((bucket) => {
    const from = bucket * SUM_SIZE;
    return (
      Buffer.compare(
        ours.subarray(from, from + SUM_SIZE),
        theirs.subarray(from, from + SUM_SIZE),
      ) !== 0
    );
  });
}
