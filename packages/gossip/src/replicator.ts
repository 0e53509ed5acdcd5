/**
 * Keeps the store of this chassis and those of its peers the same. Runs on the control thread.
 *
 *   a local change          → told to everybody at once (a change message)
 *   a heartbeat that differs → what that peer holds is fetched and merged (puller.ts)
 *   a start or reconnect    → everybody is asked for a heartbeat, which leads to the same
 *
 * Only the first is fast, and only the second is needed: no message has to arrive for the chassis
 * to agree in the end, since merging is commutative, associative and idempotent. The shape is that
 * of Scuttlebutt (van Renesse et al. 2008, "Efficient Reconciliation and Flow Control for
 * Anti-Entropy Protocols") with a hash in place of the vector where that is enough.
 */
import type { Merged, Store } from "@rhone/state/store";
import type { Portion } from "@rhone/state/write";
import { answerTo } from "./answers.ts";
import {
  type ChangeMessage,
  decode,
  encode,
  type HeartbeatMessage,
  type Message,
  PAGE_SIZE_MAX,
} from "./codec.ts";
import { Doubts } from "./doubts.ts";
import { isName } from "./fields.ts";
import { heartbeatPauseMs, slownessAmong } from "./pace.ts";
import { FORMAT, packChange, packHeartbeat } from "./packed.ts";
import { type Peer, PeerTable } from "./peer-table.ts";
import { Puller, type Said } from "./puller.ts";
import { RecentRoots } from "./recent-roots.ts";
import { type GossipRefusal, Reception, type ReceptionCounters } from "./reception.ts";
import * as subjects from "./subjects.ts";
import type { SetTimer, Transport } from "./transport.ts";

export const INTERVAL_MS = 1000;
/** After a change: who missed the message about it learns by this, not by the next heartbeat. */
const ECHO_MS = 50;
/** Where messages got lost of late, a change is told again so much later. */
const AGAIN_MS = [10, 25] as const;
/** While changes follow each other within it, the next one tells of those that were lost. */
const STREAM_MS = 150;
/** Between two fetches from a peer, when packets wait for what it has. */
const URGENT_REST_MS = 25;
/** What a peer knows of others and we do not may be on its way here; then nothing is fetched. */
const GRACE_MS = 100;
/** Heartbeats that a connected peer may miss. */
const SILENCE_INTERVALS = 3;
const FORGET_INTERVALS = 3600;
const REQUESTS = ["sync-request", "sums-request", "buckets-request"] as const;
/** Who held the same within this time knows of all deletions that are a day old. */
const SAME_WITHIN_MS = 12 * 3_600_000;
const UNKNOWN_SIGNER = "seal-of-unknown-signer";

export interface Self {
  /** Unique among the chassis: 1–63 of a–z, 0–9 and hyphens within. */
  readonly name: string;
  /** Greater than at the last start of this chassis (incarnation.ts). */
  readonly incarnation: number;
  /** Address that tunnels to this chassis end at. */
  readonly underlay: string;
}

export interface ReplicatorOptions {
  readonly store: Store;
  readonly transport: Transport;
  readonly self: Self;
  /** Knows the certificates of those who sign; null when the chassis belongs to no cluster. */
  readonly trust?: Trust | null;
  /**
   * Hears of what was not taken: a message, or a part of what a peer passed on. `who` is the
   * chassis in whose name it came, "unknown" when that cannot be said.
   */
  readonly onRefusal?: (reason: GossipRefusal, who: string, detail: string) => void;
  /** Reads messages; default `decode` of codec.ts. What it returns is not changed. */
  readonly decode?: (data: Uint8Array) => Message | null;
  /** Between two heartbeats; default INTERVAL_MS. */
  readonly intervalMs?: number;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly setTimer: SetTimer;
}

/** The certificates of the keys that sign what chassis write, DER in Base64. */
export interface Trust {
  /** Takes those that the cluster's authority has issued. */
  learn(certificates: readonly string[]): void;
  /** Of the keys of these ids, as far as they are known. */
  certificatesOf(ids: ReadonlySet<string>): string[];
}

/** Counts since the start. */
export interface ReplicatorCounters extends ReceptionCounters {
  /** Change messages sent. */
  readonly pushed: number;
  /** Writes that change messages or fetches brought and we did not have. */
  readonly merged: number;
  /** Fetches begun, and those that ended early. */
  readonly pulls: number;
  readonly pullFailures: number;
  /** Fetches that had to compare sums. */
  readonly comparisons: number;
  /** Seals and writes that were not taken. */
  readonly refused: number;
}

export class Replicator {
  readonly #options: ReplicatorOptions;
  readonly #puller: Puller;
  readonly #peers: PeerTable;
  readonly #intervalMs: number;
  readonly #roots: RecentRoots;
  readonly #doubts: Doubts;
  readonly #reception: Reception;
  readonly #undo: (() => void)[] = [];
  #cancelTimer: () => void = () => {};
  #cancelEcho: (() => void) | null = null;
  #pushedMs = Number.NEGATIVE_INFINITY;
  #isStopped = false;
  #pushedCount = 0;
  #refusedCount = 0;
  #newsCount = 0;

  /** Starts at once. Store and transport stay the caller's, to be closed after `stop`. */
  constructor(options: ReplicatorOptions) {
    const { store, transport, self, now, intervalMs = INTERVAL_MS } = options;
    if (!isName(self.name)) {
      throw new RangeError(
        `chassis name: expected 1–63 of a–z, 0–9 and hyphens within, got "${self.name}"`,
      );
    }
    this.#options = options;
    this.#intervalMs = intervalMs;
    this.#puller = new Puller({
      self: self.name,
      store,
      transport,
      now,
      restMs: intervalMs / 2,
      timeoutMs: intervalMs,
      setTimer: options.setTimer,
      onCertificates: (certificates) => options.trust?.learn(certificates),
      onFetched: (peer, atMs) => this.#peers.held(peer, atMs),
      onMerged: (merged) => this.#count(merged, ""),
    });
    this.#peers = new PeerTable({
      now,
      forgetMs: intervalMs * FORGET_INTERVALS,
    });
    this.#roots = new RecentRoots(store.root, now);
    const { decode: read = decode, onRefusal } = options;
    this.#reception = new Reception({ self: self.name, decode: read, now, onRefusal });
    this.#doubts = new Doubts({
      now,
      setTimer: options.setTimer,
      graceMs: GRACE_MS,
      onDue: (peer, said) => {
        if (this.#roots.has(said.hash)) this.#peers.held(peer, now() - GRACE_MS);
        else this.#puller.want(peer, said);
      },
    });
    this.#subscribe(store, transport, self.name);
    if (transport.isConnected) this.#askAll();
    this.#scheduleHeartbeat();
  }

  get counters(): ReplicatorCounters {
    return {
      pushed: this.#pushedCount,
      ...this.#reception.counters,
      merged: this.#newsCount + this.#puller.newsCount,
      pulls: this.#puller.pullCount,
      pullFailures: this.#puller.failureCount,
      comparisons: this.#puller.comparisonCount,
      refused: this.#refusedCount,
    };
  }

  /** Equal at two chassis that hold the same: 16 hex digits. */
  get hash(): string {
    return this.#options.store.root;
  }

  /** Every chassis heard of in the last hour, by name, without this one. */
  peers(): Peer[] {
    return this.#peers.list(this.#options.store.root, this.#silenceMs());
  }

  /** Fetches from `peer` what it holds and we do not, soon. */
  want(peer: string): void {
    this.#puller.want(peer, null);
  }

  /** As `want`, also when it was just asked: somebody waits for it. */
  wantNow(peer: string): void {
    this.#puller.want(peer, null, { restMs: URGENT_REST_MS });
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer();
    this.#cancelEcho?.();
    this.#doubts.stop();
    this.#puller.stop();
    for (const undo of this.#undo.splice(0)) undo();
  }

  #subscribe(store: Store, transport: Transport, name: string): void {
    this.#undo.push(
      store.onChange((_entries, source, portions) => {
        this.#roots.add(store.root);
        if (source === "local") this.#push(portions);
      }),
      transport.onReconnect(() => this.#askAll()),
      transport.subscribe(subjects.changes("*"), (data, _respond, subject) => {
        const origin = subjects.originOf(subject) ?? "";
        // What is not read leaves a gap, and a gap is fetched.
        if (!this.#reception.takesMore(origin, data)) return;
        const message = this.#reception.read(data, ["change"], origin);
        if (message !== null) this.#onChange(message);
      }),
      transport.subscribe(subjects.heartbeats("*"), (data, _respond, subject) => {
        const message = this.#reception.read(data, ["heartbeat"], subjects.originOf(subject));
        if (message !== null) this.#onHeartbeat(message);
      }),
      transport.subscribe(subjects.ASK_ALL, (data) => {
        const message = this.#reception.read(data, ["heartbeat"]);
        if (message === null) return;
        transport.publish(subjects.answers(message.from), encode(this.#heartbeat()));
        this.#onHeartbeat(message);
      }),
      transport.subscribe(subjects.answers(name), (data) => {
        const message = this.#reception.read(data, ["heartbeat"]);
        if (message !== null) this.#onHeartbeat(message);
      }),
      transport.subscribe(subjects.sync(name), (data, respond) => this.#answer(data, respond)),
    );
  }

  #answer(data: Uint8Array, respond: (data: Uint8Array) => void): void {
    const { store, self, trust } = this.#options;
    const request = this.#reception.read(data, REQUESTS);
    if (request === null) return;
    const certificatesOf = (ids: ReadonlySet<string>) => trust?.certificatesOf(ids) ?? [];
    respond(encode(answerTo(request, self.name, store, certificatesOf)));
  }

  #onChange({ from, portions }: ChangeMessage): void {
    if (!this.#peers.hear(from)) {
      this.#reception.refuseOneMore(from);
      return;
    }
    const { store } = this.#options;
    const merged = store.merge(portions);
    this.#newsCount += merged.news;
    // Of a key that is new to us: the answer to our question brings the certificate.
    const isStranger = merged.refused.some(({ reason }) => reason === UNKNOWN_SIGNER);
    this.#count(merged, from);
    const isGap = portions.some(({ seal }) => store.clockOf(seal.origin) < seal.clock);
    // What was lost is fetched now, not after the next heartbeat.
    if (isGap || isStranger) this.#wantOwn(from, null);
  }

  /** Fetches what `peer` wrote itself, as far as it can be asked for that alone. */
  #wantOwn(peer: string, said: Said | null): void {
    const isAlone = this.#peers.formatOf(peer) >= FORMAT;
    this.#puller.want(peer, said, { isOwnOnly: isAlone });
  }

  #count({ refused }: Merged, peer: string): void {
    for (const refusal of refused) {
      if (refusal.reason === UNKNOWN_SIGNER && peer !== "") continue;
      this.#refusedCount++;
      const { reason, origin } = refusal;
      this.#options.onRefusal?.(reason, origin, `passed on by ${peer === "" ? "a peer" : peer}`);
    }
  }

  #onHeartbeat(message: HeartbeatMessage): void {
    const { store } = this.#options;
    const isCaughtUp = store.clockOf(message.from) >= message.clock;
    const isSame = message.hash === store.root;
    const { from } = message;
    if (!this.#peers.heartbeat(message, isCaughtUp, isSame)) this.#reception.refuseOneMore(from);
    else if (!isCaughtUp) this.#wantOwn(from, message);
    else if (!this.#roots.has(message.hash)) this.#doubts.add(from, message);
    if (this.#roots.has(message.hash)) this.#peers.held(message.from, this.#options.now());
  }

  /** A transaction is one message. Of one that is too large, only that there is something. */
  #push(portions: readonly Portion[]): void {
    const { transport, self } = this.#options;
    this.#pushedCount++;
    let size = 0;
    for (const { texts } of portions) for (const text of texts) size += text.length;
    if (size > PAGE_SIZE_MAX) this.#speak();
    else {
      const message: ChangeMessage = { type: "change", from: self.name, portions };
      const packed = this.#isPackedRead() ? packChange(message) : null;
      const data = packed ?? encode(message);
      transport.publish(subjects.changes(self.name), data);
      if (this.#puller.isLossy) this.#pushAgain(data);
      this.#expectEcho();
    }
  }

  #pushAgain(data: Uint8Array): void {
    const { transport, self, setTimer } = this.#options;
    for (const delayMs of AGAIN_MS) {
      setTimer(() => {
        if (!this.#isStopped) transport.publish(subjects.changes(self.name), data);
      }, delayMs);
    }
  }

  #expectEcho(): void {
    const nowMs = this.#options.now();
    const isStream = nowMs - this.#pushedMs < STREAM_MS;
    this.#pushedMs = nowMs;
    this.#cancelEcho?.();
    this.#cancelEcho = this.#options.setTimer(
      () => {
        this.#cancelEcho = null;
        this.#speak();
      },
      isStream ? STREAM_MS : ECHO_MS,
    );
  }

  #speak(): void {
    const { transport, self } = this.#options;
    const heartbeat = this.#heartbeat();
    const data = this.#isPackedRead() ? packHeartbeat(heartbeat) : encode(heartbeat);
    transport.publish(subjects.heartbeats(self.name), data);
  }

  /** Whether nobody who may listen needs the plain form. */
  #isPackedRead(): boolean {
    return this.#peers.oldestFormat(this.#silenceMs()) >= FORMAT;
  }

  /** After it a peer does not count as connected. */
  #silenceMs(): number {
    return this.#intervalMs * slownessAmong(this.#peers.size) * SILENCE_INTERVALS;
  }

  /** Whether every other chassis has held the same as we of late. */
  #isKnownByAll(): boolean {
    const { store, self, now } = this.#options;
    const sinceMs = now() - SAME_WITHIN_MS;
    const peers = new Map(this.peers().map((peer) => [peer.name, peer]));
    return store.snapshot().chassis.every(({ name }) => {
      return name === self.name || (peers.get(name)?.sameMs ?? Number.NEGATIVE_INFINITY) > sinceMs;
    });
  }

  #askAll(): void {
    this.#puller.reset();
    // Plainly, since anybody may hear it; that is also how they learn what we read.
    this.#options.transport.publish(subjects.ASK_ALL, encode(this.#heartbeat()));
  }

  #heartbeat(): HeartbeatMessage {
    const { store, self } = this.#options;
    return {
      type: "heartbeat",
      from: self.name,
      incarnation: self.incarnation,
      revision: store.revision,
      clock: store.clockOf(self.name),
      hash: store.root,
      underlay: self.underlay,
      format: FORMAT,
    };
  }

  #scheduleHeartbeat(): void {
    const { random, setTimer } = this.#options;
    const delayMs = heartbeatPauseMs(this.#intervalMs, this.#peers.size, random());
    this.#cancelTimer = setTimer(() => {
      this.#speak();
      this.#peers.forgetSilent();
      this.#options.store.expire(this.#isKnownByAll());
      this.#scheduleHeartbeat();
    }, delayMs);
  }
}
