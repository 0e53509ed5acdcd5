/**
 * Connections go with their port: who gets a port asks whoever had it for those in its zone, and
 * writes them into its own table, so that what rules let begin goes on, whichever end speaks first.
 * Run by the control thread.
 *
 * A chassis that stands by for a guest that moves asks once beforehand. Asked again is when the
 * port is here, and once more when no packet is under way by the old tables. Only who claims the
 * port is answered. When nobody answers, as after a crash, the port does without.
 */
import { CONNECTIONS_SIZE_MAX, decode, encode } from "@rhone/gossip/codec";
import type { Refusals } from "@rhone/gossip/refusals";
import * as subjects from "@rhone/gossip/subjects";
import type { SetTimer, Transport } from "@rhone/gossip/transport";
import { claimAt, claimsOf, holderOf } from "@rhone/state/claim";
import { get } from "@rhone/state/state";
import type { Store } from "@rhone/state/store";
import { flawOf, type MovedPage, RECORD_WORDS, type Zone } from "@rhone/tables/moved-connections";
import type { Logger } from "pino";
import type { DeviceView } from "./devices.ts";

/** Of the records; who reads others is not understood. */
const LAYOUT = 1;
const PAGE_RECORDS = Math.floor(CONNECTIONS_SIZE_MAX / (RECORD_WORDS * 4));
const REQUEST_TIMEOUT_MS = 500;
const ATTEMPTS = 3;
/** Between two of them: who is not reached by NATS may be by a link, or a moment later. */
const RETRY_MS = 200;
/** Between two looks whether the tables have the port, or the workers can take connections. */
const LOOK_MS = 10;
const LOOKS_MAX = 200;
/** Who asks may be quicker than its claim. */
const CLAIM_LOOKS = 30;
/** Packets that began under the tables before the move are gone by then. */
const AGAIN_MS = 250;
/** Who has given connections away keeps them for so long. */
const FORGET_MS = 3000;
/** What may concern where a port is. */
const KINDS: ReadonlySet<string> = new Set(["port", "binding"]);

export interface ConnectionMovesOptions {
  readonly self: string;
  readonly store: Store;
  readonly transport: Transport;
  /** Ports with a device here. */
  readonly devices: () => readonly Pick<DeviceView, "port" | "phase">[];
  /** Whether a chassis is known to be dead. */
  readonly isDead: (chassis: string) => boolean;
  /** The zone of a port in the tables of this chassis; null when they do not have it. */
  readonly zoneOf: (port: string) => Zone | null;
  /** Connections in a zone, at most `limit`, from `after` on. */
  readonly collect: (zone: Zone, after: number, limit: number) => MovedPage;
  /** Has the workers write connections into the table; false when they cannot just now. */
  readonly take: (zone: Zone, records: Int32Array) => boolean;
  /** Has them removed from it; false when they cannot just now. */
  readonly forget: (zone: Zone) => boolean;
  readonly refusals: Refusals;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

/** Connections since the start, each as often as it was asked for: up to three times a move. */
export interface MoveCounts {
  /** Came with a port. */
  readonly arrived: number;
  /** Were given to the chassis that a port went to. */
  readonly departed: number;
}

export class ConnectionMoves {
  readonly #options: ConnectionMovesOptions;
  readonly #unsubscribe: readonly (() => void)[];
  /** By port with a device here: who had it at the last look. */
  #holders: ReadonlyMap<string, string | undefined> = new Map();
  /** Who was asked beforehand, by port. */
  readonly #askedBefore = new Map<string, string>();
  #counts = { arrived: 0, departed: 0 };
  #isStopped = false;

  constructor(options: ConnectionMovesOptions) {
    const { self, store, transport } = options;
    this.#options = options;
    this.#unsubscribe = [
      store.onChange((entries) => {
        if (entries.some(({ kind }) => KINDS.has(kind))) this.look();
      }),
      transport.subscribe(subjects.connections(self), (data, respond) => {
        void this.#answer(data, respond);
      }),
    ];
    this.look();
  }

  get counts(): MoveCounts {
    return this.#counts;
  }

  /** Takes in who has which port now. */
  look(): void {
    const { self, store, devices } = this.#options;
    const state = store.snapshot();
    const before = this.#holders;
    const holders = new Map<string, string | undefined>();
    for (const { port: name, phase } of devices()) {
      const port = get(state, "port", name)?.value;
      if (port === undefined) continue;
      const claims = claimsOf(state, name);
      const holder = holderOf(port, claims);
      holders.set(name, holder);
      const had = before.get(name);
      if (holder === self) {
        this.#askedBefore.delete(name);
        if (had === self) continue;
        const others = new Set([had, ...claims.map(({ value }) => value.chassis)]);
        for (const other of others) {
          if (other !== undefined && other !== self) void this.#fetchTwice(name, other);
        }
      } else if (holder !== undefined && port.migration?.chassis === self && phase === "up") {
        const isKnown = claimAt(claims, self) !== undefined; // Else we would not be answered.
        if (!isKnown || this.#askedBefore.get(name) === holder) continue;
        this.#askedBefore.set(name, holder);
        void this.#fetch(name, holder, false);
      }
    }
    this.#holders = holders;
    for (const port of this.#askedBefore.keys()) {
      if (!holders.has(port)) this.#askedBefore.delete(port);
    }
  }

  stop(): void {
    this.#isStopped = true;
    for (const end of this.#unsubscribe) end();
  }

  async #fetchTwice(port: string, other: string): Promise<void> {
    if (!(await this.#fetch(port, other, true))) return;
    await this.#sleep(AGAIN_MS);
    if (this.#holders.get(port) === this.#options.self) await this.#fetch(port, other, true);
  }

  /** Whether `other` has told all. */
  async #fetch(port: string, other: string, isLast: boolean): Promise<boolean> {
    let count = 0;
    for (let after: number | null = 0; after !== null; ) {
      const page: MovedPage | null = await this.#ask(port, other, after, isLast);
      if (page === null) return false;
      if (page.records.length > 0 && !(await this.#take(port, page.records))) return false;
      count += page.records.length / RECORD_WORDS;
      after = page.next;
    }
    this.#counts = { ...this.#counts, arrived: this.#counts.arrived + count };
    this.#options.log.info({ port, from: other, connections: count }, "connections came along");
    return true;
  }

  /** null when there is no answer, or none of use. */
  async #ask(
    port: string,
    other: string,
    after: number,
    isLast: boolean,
  ): Promise<MovedPage | null> {
    const { self, transport, isDead } = this.#options;
    const request = encode({ type: "connections-request", from: self, port, after, isLast });
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (this.#isStopped || isDead(other)) return null;
      try {
        const subject = subjects.connections(other);
        return this.#read(other, await transport.request(subject, request, REQUEST_TIMEOUT_MS));
      } catch {
        await this.#sleep(RETRY_MS); // Nobody there, or nobody in time.
      }
    }
    return null;
  }

  #read(other: string, data: Uint8Array): MovedPage | null {
    const { refusals } = this.#options;
    const reply = decode(data);
    if (reply?.type !== "connections-reply" || reply.from !== other) {
      refusals.add("connections-malformed", other, `an answer about a port, ${data.length} bytes`);
      return null;
    }
    const { layout, records: bytes, next } = reply;
    const records = new Int32Array(bytes.slice().buffer);
    const flaw = layout === LAYOUT ? flawOf(records) : `expected layout ${LAYOUT}, got ${layout}`;
    if (flaw === null) return { records, next };
    refusals.add("connections-malformed", other, flaw);
    return null;
  }

  async #take(port: string, records: Int32Array): Promise<boolean> {
    const { zoneOf, take } = this.#options;
    return this.#soon(() => {
      const zone = zoneOf(port);
      return zone !== null && take(zone, records);
    });
  }

  async #answer(data: Uint8Array, respond: (data: Uint8Array) => void): Promise<void> {
    const { self, store, zoneOf, collect, refusals } = this.#options;
    const request = decode(data);
    if (request?.type !== "connections-request") {
      refusals.add("connections-malformed", "unknown", `a question, ${data.length} bytes`);
      return;
    }
    const { from, port, after, isLast } = request;
    const isClaimed = () => claimAt(claimsOf(store.snapshot(), port), from) !== undefined;
    if (!(await this.#soon(isClaimed, CLAIM_LOOKS))) {
      refusals.add("connections-no-claim", from, `it asks about port ${port}, which it has not`);
      return;
    }
    const zone = zoneOf(port);
    const nothing = { records: new Int32Array(), next: null };
    const page = zone === null ? nothing : collect(zone, after, PAGE_RECORDS);
    const { buffer, byteOffset, byteLength } = page.records;
    const records = new Uint8Array(buffer, byteOffset, byteLength);
    const { next } = page;
    respond(encode({ type: "connections-reply", from: self, layout: LAYOUT, records, next }));
    if (!isLast) return;
    const departed = this.#counts.departed + page.records.length / RECORD_WORDS;
    this.#counts = { ...this.#counts, departed };
    if (next === null && zone !== null) void this.#forget(port, zone);
  }

  /** What went with its port is of no use here, and would be in the way when that comes back. */
  async #forget(port: string, zone: Zone): Promise<void> {
    const { self, store, forget } = this.#options;
    await this.#sleep(FORGET_MS);
    await this.#soon(() => {
      const state = store.snapshot();
      const value = get(state, "port", port)?.value;
      if (value === undefined) return true;
      const holder = holderOf(value, claimsOf(state, port));
      return holder === self || holder === undefined || forget(zone);
    });
  }

  /** Tries until it works; false when it does not for long. */
  async #soon(attempt: () => boolean, looks = LOOKS_MAX): Promise<boolean> {
    for (let look = 0; look < looks && !this.#isStopped; look++) {
      if (attempt()) return true;
      await this.#sleep(LOOK_MS);
    }
    return false;
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.setTimer(resolve, delayMs);
    });
  }
}
