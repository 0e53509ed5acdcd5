/**
 * The third path between chassis, beside NATS and its repair: a TLS connection for each pair, made
 * without anybody's help, so that losing every nats-server costs time and nothing else. Runs on the
 * control thread, on Node and on Deno.
 *
 * Whoever knows the other's address dials; of two connections that cross, the one dialed by the
 * chassis whose name comes first stays. What a peer publishes under `rhone.o.<chassis>` is taken
 * from that chassis only: its certificate says who it is.
 */
import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { subjectOf } from "../identity/certificate.ts";
import type { Identity } from "../identity/identity.ts";
import type { MemberAddress } from "../identity/messages.ts";
import { listenOn } from "../listen.ts";
import { slownessAmong } from "../pace.ts";
import type { Refusals } from "../refusals.ts";
import { matches } from "../subject-pattern.ts";
import { originOf } from "../subjects.ts";
import type { MessageHandler, SetTimer, Transport } from "../transport.ts";
import { Dialer } from "./dialer.ts";
import { DATA_SIZE_MAX, type Frame } from "./frame.ts";
import { Link } from "./link.ts";

/** Of a cluster in which everybody has a link to everybody. */
export const LINKS_MAX = 128;
/** Those that are no links yet included. */
const CONNECTIONS_MAX = 2 * LINKS_MAX;
const HANDSHAKE_TIMEOUT_MS = 3000;
const ORIGIN_PREFIX = "rhone.o.";

export interface PeerLinksOptions {
  readonly identity: () => Identity;
  readonly address: string;
  /** The same at all chassis. */
  readonly port: number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly setTimer: SetTimer;
  readonly refusals: Refusals;
}

export interface LinkState {
  readonly name: string;
  readonly isUp: boolean;
  /** Why it is not; "" when it is. */
  readonly reason: string;
}

/** What is asked of the links beyond a transport: to send to some peers and not to others. */
export interface PeerEvents {
  /** A link came up or went down. */
  onLink(peer: string, isUp: boolean): void;
  /** The peer said whether it hears us over NATS. */
  onHearing(peer: string, hearsUs: boolean): void;
}

interface Subscription {
  readonly subject: string;
  readonly pattern: readonly string[];
  readonly handler: MessageHandler;
}

interface Pending {
  readonly peers: Set<string>;
  readonly resolve: (data: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

export class PeerLinks implements Transport {
  readonly #options: PeerLinksOptions;
  readonly #name: string;
  readonly #links = new Map<string, Link>();
  readonly #dialers = new Map<string, Dialer>();
  readonly #reasons = new Map<string, string>();
  readonly #subscriptions = new Set<Subscription>();
  readonly #reconnectListeners = new Set<() => void>();
  readonly #events = new Set<PeerEvents>();
  readonly #pending = new Map<number, Pending>();
  /** Connections that were accepted, whether or not they are links yet. */
  readonly #accepted = new Set<Socket>();
  #server: Server | null = null;
  #nextId = 1;
  #droppedCount = 0;
  #isClosed = false;

  constructor(options: PeerLinksOptions) {
    this.#options = options;
    this.#name = options.identity().name;
  }

  /** Listens from now on. Rejects with who holds the port when it is taken. */
  async start(): Promise<void> {
    const { identity, address, port, refusals } = this.#options;
    const { chassis, authority } = identity();
    const server = createServer({
      ca: [authority],
      key: chassis.key,
      cert: chassis.certificate,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.3",
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    });
    server.maxConnections = CONNECTIONS_MAX;
    server.on("connection", (socket) => {
      this.#accepted.add(socket);
      socket.on("close", () => this.#accepted.delete(socket));
    });
    server.on("secureConnection", (socket) => this.#accept(socket));
    server.on("tlsClientError", (error, socket) => {
      refusals.add("link-no-member", socket.remoteAddress ?? "unknown", error.message);
      socket.destroy();
    });
    await listenOn(server, address, port);
    this.#server = server;
  }

  /** Goes on with the newest certificate; links that are up stay. */
  async replace(): Promise<void> {
    this.#server?.close();
    await this.start();
  }

  /** Dials these and no others; links to others stay as long as they last. */
  setPeers(peers: readonly MemberAddress[]): void {
    const wanted = new Map(peers.map((peer) => [peer.name, peer.underlay]));
    wanted.delete(this.#name);
    for (const [name, dialer] of this.#dialers) {
      if (wanted.get(name) === dialer.address) continue;
      dialer.stop();
      this.#dialers.delete(name);
    }
    for (const [peer, address] of wanted) {
      if (!this.#dialers.has(peer) && this.#dialers.size < LINKS_MAX) this.#dial(peer, address);
    }
  }

  /** Chassis with a link that is up. */
  get peers(): readonly string[] {
    return [...this.#links.keys()];
  }

  isLinked(peer: string): boolean {
    return this.#links.has(peer);
  }

  /** Every chassis that is dialed or linked, by name. */
  get states(): LinkState[] {
    const names = new Set([...this.#dialers.keys(), ...this.#links.keys()]);
    return [...names].sort().map((name) => {
      const isUp = this.#links.has(name);
      const failure = this.#dialers.get(name)?.failure ?? "";
      return { name, isUp, reason: isUp ? "" : failure || (this.#reasons.get(name) ?? "") };
    });
  }

  /** Messages that could not be sent: too large, or too many wait. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  get isConnected(): boolean {
    return this.#links.size > 0;
  }

  publish(subject: string, data: Uint8Array): void {
    for (const peer of this.#links.keys()) this.publishTo(peer, subject, data);
  }

  /** Sends to one peer, if it has a link and wants the subject. */
  publishTo(peer: string, subject: string, data: Uint8Array): void {
    const link = this.#links.get(peer);
    if (link === undefined || !wants(link, subject)) return;
    if (data.length > DATA_SIZE_MAX || !link.send("publish", subject, data)) this.#droppedCount++;
  }

  /** Tells a peer whether we hear it over NATS. */
  tellHearing(peer: string, isHeard: boolean): void {
    this.#links.get(peer)?.send("hearing", "", Uint8Array.of(isHeard ? 1 : 0));
  }

  subscribe(subject: string, handler: MessageHandler): () => void {
    const isNew = ![...this.#subscriptions].some((known) => known.subject === subject);
    const subscription = { subject, pattern: subject.split("."), handler };
    this.#subscriptions.add(subscription);
    if (isNew) for (const link of this.#links.values()) link.send("subscribe", subject);
    return () => {
      this.#subscriptions.delete(subscription);
      if ([...this.#subscriptions].some((known) => known.subject === subject)) return;
      for (const link of this.#links.values()) link.send("unsubscribe", subject);
    };
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const asked = [...this.#links.values()].filter((link) => wants(link, subject));
    if (asked.length === 0) return Promise.reject(new Error(`no link to who answers ${subject}`));
    if (data.length > DATA_SIZE_MAX) {
      return Promise.reject(
        new Error(`expected ${DATA_SIZE_MAX} bytes at most, got ${data.length}`),
      );
    }
    const id = this.#nextId;
    this.#nextId = (id % 0xffffffff) + 1;
    return new Promise((resolve, reject) => {
      const cancelTimer = this.#options.setTimer(() => {
        pending.reject(new Error(`no answer to ${subject} within ${timeoutMs} ms`));
      }, timeoutMs);
      const finish = (): void => {
        cancelTimer();
        this.#pending.delete(id);
      };
      const pending: Pending = {
        peers: new Set(asked.map(({ peer }) => peer)),
        resolve: (answer) => {
          finish();
          resolve(answer);
        },
        reject: (error) => {
          finish();
          reject(error);
        },
      };
      this.#pending.set(id, pending);
      for (const link of asked) link.send("request", subject, data, id);
    });
  }

  onReconnect(listener: () => void): () => void {
    this.#reconnectListeners.add(listener);
    return () => this.#reconnectListeners.delete(listener);
  }

  onEvents(events: PeerEvents): () => void {
    this.#events.add(events);
    return () => this.#events.delete(events);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const dialer of this.#dialers.values()) dialer.stop();
    this.#dialers.clear();
    for (const link of this.#links.values()) link.end("it was closed");
    for (const socket of this.#accepted) socket.destroy();
    for (const pending of [...this.#pending.values()]) pending.reject(new Error("it was closed"));
    this.#subscriptions.clear();
    const server = this.#server;
    if (server === null) return;
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  #dial(peer: string, address: string): void {
    const { port, identity, random, setTimer } = this.#options;
    const dialer = new Dialer({
      name: this.#name,
      peer,
      address,
      port,
      identity,
      random,
      setTimer,
      isLinked: () => this.#links.has(peer),
      onOpen: (socket, endMs) => this.#add(socket, peer, true, endMs),
    });
    this.#dialers.set(peer, dialer);
  }

  /** Somebody has dialed us, with a certificate of our authority. */
  #accept(socket: TLSSocket): void {
    const { refusals } = this.#options;
    const from = socket.remoteAddress ?? "unknown";
    const certificate = new X509Certificate(socket.getPeerCertificate().raw);
    const subject = subjectOf(certificate);
    socket.on("error", () => {}); // It closes then, too.
    const refusal =
      subject?.role !== "chassis"
        ? "link-no-chassis"
        : subject.name === this.#name
          ? "link-namesake"
          : this.#links.size >= LINKS_MAX && !this.#links.has(subject.name)
            ? "link-too-many"
            : null;
    if (refusal !== null) {
      refusals.add(refusal, from, `a certificate for ${certificate.subjectAltName}`);
      socket.destroy();
      return;
    }
    this.#add(socket, subject!.name, false, Date.parse(certificate.validTo));
  }

  #add(socket: TLSSocket, peer: string, isDialed: boolean, endMs: number): void {
    const present = this.#links.get(peer);
    if (this.#isClosed || (present !== undefined && !this.#isBetter(isDialed, present))) {
      socket.destroy();
      return;
    }
    present?.end("another connection took its place");
    const link = new Link({
      socket,
      peer,
      isDialed,
      endMs,
      wallClock: this.#options.wallClock,
      setTimer: this.#options.setTimer,
      slowness: () => slownessAmong(this.#links.size),
      onFrame: (link, frame) => this.#onFrame(link, frame),
      onEnd: (link, reason) => this.#onEnd(link, reason),
    });
    this.#links.set(peer, link);
    this.#reasons.delete(peer);
    for (const subject of new Set([...this.#subscriptions].map((known) => known.subject))) {
      link.send("subscribe", subject);
    }
    for (const events of this.#events) events.onLink(peer, true);
    for (const listener of this.#reconnectListeners) listener();
  }

  /** Both sides decide alike: the side whose name comes first dials, the newest of its stays. */
  #isBetter(isDialed: boolean, present: Link): boolean {
    if (isDialed === present.isDialed) return true;
    return isDialed === this.#name < present.peer;
  }

  #onEnd(link: Link, reason: string): void {
    this.#droppedCount += link.droppedCount;
    if (this.#links.get(link.peer) !== link) return;
    this.#links.delete(link.peer);
    if (this.#isClosed) return;
    this.#reasons.set(link.peer, reason);
    for (const pending of [...this.#pending.values()]) {
      pending.peers.delete(link.peer);
      if (pending.peers.size === 0) pending.reject(new Error(`the link to ${link.peer} ended`));
    }
    for (const events of this.#events) events.onLink(link.peer, false);
    this.#dialers.get(link.peer)?.again(link.wasTaken);
  }

  #onFrame(link: Link, { type, id, subject, data }: Frame): void {
    switch (type) {
      case "answer": {
        const pending = this.#pending.get(id);
        if (pending?.peers.has(link.peer)) pending.resolve(data.slice());
        return;
      }
      case "hearing":
        for (const events of this.#events) events.onHearing(link.peer, data[0] === 1);
        return;
      case "publish":
        this.#deliver(link, subject, data, () => {});
        return;
      case "request":
        this.#deliver(link, subject, data, (answer) => {
          if (answer.length <= DATA_SIZE_MAX) link.send("answer", "", answer, id);
          else this.#droppedCount++;
        });
        return;
    }
  }

  #deliver(
    link: Link,
    subject: string,
    data: Uint8Array,
    respond: (data: Uint8Array) => void,
  ): void {
    if (subject.startsWith(ORIGIN_PREFIX) && originOf(subject) !== link.peer) {
      this.#options.refusals.add("link-forged-origin", link.peer, `a message on ${subject}`);
      return;
    }
    const tokens = subject.split(".");
    for (const { pattern, handler } of this.#subscriptions) {
      if (matches(pattern, tokens)) handler(data, respond, subject);
    }
  }
}

function wants({ patterns }: Link, subject: string): boolean {
  const tokens = subject.split(".");
  for (const pattern of patterns.values()) if (matches(pattern, tokens)) return true;
  return false;
}
