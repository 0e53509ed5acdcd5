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
 * Anti-Entropy Protocols") with one hash in place of a vector of versions.
 */
import type { Entry } from "@rhone/state/record";
import type { Store } from "@rhone/state/store";
import {
  type ChangeMessage,
  countThatFits,
  decode,
  encode,
  type HeartbeatMessage,
  isName,
  type Message,
} from "./codec.ts";
import { type Peer, PeerTable } from "./peer-table.ts";
import { Puller } from "./puller.ts";
import * as subjects from "./subjects.ts";
import { Summary } from "./summary.ts";
import type { SetTimer, Transport } from "./transport.ts";

export const INTERVAL_MS = 1000;
/** Heartbeats that a connected peer may miss. */
const SILENCE_INTERVALS = 3;
const FORGET_INTERVALS = 3600;
/** Chassis that were started together must not go on in step. */
const JITTER = 0.1;

export interface Self {
  /** Unique among the chassis: 1–63 of a–z, 0–9 and hyphens within. */
  readonly name: string;
  /** Greater than at the last start of this chassis; the time of start will do. */
  readonly incarnation: number;
  /** Address that tunnels to this chassis end at. */
  readonly underlay: string;
}

export interface ReplicatorOptions {
  readonly store: Store;
  readonly transport: Transport;
  readonly self: Self;
  /** Between two heartbeats; default INTERVAL_MS. */
  readonly intervalMs?: number;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly setTimer: SetTimer;
}

/** Counts since the start. */
export interface ReplicatorCounters {
  /** Change messages sent. */
  readonly pushed: number;
  /** Messages received, fetched pages not included. */
  readonly received: number;
  /** Of these, dropped: not a message, or on a subject that is not for it. */
  readonly malformed: number;
  /** Of these, dropped: another chassis uses our name. */
  readonly fromNamesake: number;
  /** Of these, dropped: more than PEERS_MAX peers. */
  readonly fromTooMany: number;
  /** Entries that change messages or fetches brought and we did not have. */
  readonly merged: number;
  /** Fetches begun, and those that ended early. */
  readonly pulls: number;
  readonly pullFailures: number;
}

export class Replicator {
  readonly #options: ReplicatorOptions;
  readonly #summary: Summary;
  readonly #puller: Puller;
  readonly #peers: PeerTable;
  readonly #intervalMs: number;
  readonly #undo: (() => void)[] = [];
  #cancelTimer: () => void = () => {};
  #seq = 0;
  #receivedCount = 0;
  #malformedCount = 0;
  #namesakeCount = 0;
  #tooManyCount = 0;
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
    this.#summary = new Summary(store);
    this.#puller = new Puller({
      self: self.name,
      store,
      summary: this.#summary,
      transport,
      now,
      restMs: intervalMs / 2,
      timeoutMs: intervalMs,
    });
    this.#peers = new PeerTable({
      now,
      silenceMs: intervalMs * SILENCE_INTERVALS,
      forgetMs: intervalMs * FORGET_INTERVALS,
    });
    this.#subscribe(store, transport, self.name);
    if (transport.isConnected) this.#askAll();
    this.#scheduleHeartbeat();
  }

  get counters(): ReplicatorCounters {
    return {
      pushed: this.#seq,
      received: this.#receivedCount,
      malformed: this.#malformedCount,
      fromNamesake: this.#namesakeCount,
      fromTooMany: this.#tooManyCount,
      merged: this.#newsCount + this.#puller.newsCount,
      pulls: this.#puller.pullCount,
      pullFailures: this.#puller.failureCount,
    };
  }

  /** Equal at two chassis that hold the same: 16 hex digits. */
  get hash(): string {
    return this.#summary.hash;
  }

  /** Every chassis heard of in the last hour, by name, without this one. */
  peers(): Peer[] {
    return this.#peers.list(this.#summary.hash);
  }

  stop(): void {
    this.#cancelTimer();
    this.#puller.stop();
    for (const undo of this.#undo.splice(0)) undo();
  }

  #subscribe(store: Store, transport: Transport, name: string): void {
    this.#undo.push(
      store.onChange((entries, source) => {
        this.#summary.invalidate();
        if (source === "local") this.#push(entries);
      }),
      transport.onReconnect(() => this.#askAll()),
      transport.subscribe(subjects.changes("*"), (data, _respond, subject) => {
        const message = this.#receive(data, "change", subjects.originOf(subject));
        if (message !== null) this.#onChange(message);
      }),
      transport.subscribe(subjects.heartbeats("*"), (data, _respond, subject) => {
        const message = this.#receive(data, "heartbeat", subjects.originOf(subject));
        if (message !== null) this.#onHeartbeat(message);
      }),
      transport.subscribe(subjects.ASK_ALL, (data) => {
        const message = this.#receive(data, "heartbeat");
        if (message === null) return;
        transport.publish(subjects.answers(message.from), this.#heartbeat());
        this.#onHeartbeat(message);
      }),
      transport.subscribe(subjects.answers(name), (data) => {
        const message = this.#receive(data, "heartbeat");
        if (message !== null) this.#onHeartbeat(message);
      }),
      transport.subscribe(subjects.sync(name), (data, respond) => {
        const message = this.#receive(data, "sync-request");
        if (message === null) return;
        const page = this.#summary.page(message.after);
        respond(encode({ type: "sync-reply", from: name, ...page }));
      }),
    );
  }

  /** The message in `data` if it is of `type`, and from `origin` if that is given; counts. */
  #receive<T extends Message["type"]>(
    data: Uint8Array,
    type: T,
    origin?: string,
  ): Extract<Message, { type: T }> | null {
    this.#receivedCount++;
    const message = decode(data);
    if (message?.type !== type || (origin !== undefined && message.from !== origin)) {
      this.#malformedCount++;
      return null;
    }
    if (message.from === this.#options.self.name) {
      this.#namesakeCount++;
      return null;
    }
    return message as Extract<Message, { type: T }>;
  }

  #onChange(message: ChangeMessage): void {
    switch (this.#peers.change(message)) {
      case "full":
        this.#tooManyCount++;
        return;
      case "gap":
        // What was lost is fetched now, not after the next heartbeat.
        this.#puller.want(message.from, "");
        break;
      case "next":
        break;
    }
    this.#newsCount += this.#options.store.merge(message.entries);
  }

  #onHeartbeat(message: HeartbeatMessage): void {
    if (!this.#peers.heartbeat(message)) this.#tooManyCount++;
    else if (message.hash !== this.#summary.hash) this.#puller.want(message.from, message.hash);
  }

  /** A transaction is one message, so that peers apply it as a whole, unless it is too large. */
  #push(entries: readonly Entry[]): void {
    const { transport, self } = this.#options;
    for (let start = 0; start < entries.length; ) {
      const count = countThatFits(entries, start);
      const message: ChangeMessage = {
        type: "change",
        from: self.name,
        incarnation: self.incarnation,
        seq: ++this.#seq,
        entries: entries.slice(start, start + count),
      };
      transport.publish(subjects.changes(self.name), encode(message));
      start += count;
    }
  }

  #askAll(): void {
    this.#puller.reset();
    this.#options.transport.publish(subjects.ASK_ALL, this.#heartbeat());
  }

  #heartbeat(): Uint8Array {
    const { store, self } = this.#options;
    return encode({
      type: "heartbeat",
      from: self.name,
      incarnation: self.incarnation,
      seq: this.#seq,
      revision: store.revision,
      hash: this.#summary.hash,
      underlay: self.underlay,
    });
  }

  #scheduleHeartbeat(): void {
    const { transport, self, random, setTimer } = this.#options;
    const delayMs = this.#intervalMs * (1 + JITTER * (2 * random() - 1));
    this.#cancelTimer = setTimer(() => {
      transport.publish(subjects.heartbeats(self.name), this.#heartbeat());
      this.#peers.forgetSilent();
      this.#scheduleHeartbeat();
    }, delayMs);
  }
}
