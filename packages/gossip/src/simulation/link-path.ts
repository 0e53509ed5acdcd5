/**
 * Simulated links between chassis, in place of peer-links.ts with its sockets: reliable, in order
 * while they last, as TCP is, and given up by a side that hears nothing of the other for some
 * seconds. What had not arrived by then is lost.
 */
import type { Links } from "../peer-link/fallback-transport.ts";
import type { PeerEvents } from "../peer-link/peer-links.ts";
import { matches } from "../subject-pattern.ts";
import type { MessageHandler } from "../transport.ts";
import type { Process } from "./machine.ts";
import { ask } from "./question.ts";
import type { Underlay } from "./underlay.ts";
import type { World } from "./world.ts";

const DIAL_MIN_MS = 10;
const DIAL_MAX_MS = 2000;
/** TCP sends again what did not get there. */
const RESEND_MS = 100;
const PING_INTERVAL_MS = 1000;
const SILENCE_MAX = 3;

/** One end of a connection. */
interface Side {
  readonly endpoint: LinkEndpoint;
  other: Side;
  isOpen: boolean;
  silence: number;
  /** What was sent and has not arrived. */
  readonly queue: { readonly readyMs: number; readonly arrive: () => void }[];
}

export class LinkPath {
  readonly #world: World;
  readonly #underlay: Underlay;
  readonly #endpoints = new Map<number, LinkEndpoint>();
  /** Pairs of which one is trying to reach the other. */
  readonly #dialing = new Set<string>();
  #blockCount = 0;

  constructor(world: World, underlay: Underlay) {
    this.#world = world;
    this.#underlay = underlay;
  }

  connect(process: Process): LinkEndpoint {
    const endpoint = new LinkEndpoint(this, this.#world, process);
    for (const other of this.#endpoints.values()) this.#dial(endpoint.index, other.index);
    this.#endpoints.set(endpoint.index, endpoint);
    return endpoint;
  }

  /** Ends all links, and there are none until what is returned is called. */
  block(): () => void {
    this.#blockCount++;
    for (const endpoint of this.#endpoints.values()) {
      for (const side of endpoint.sides()) this.end(side);
    }
    return () => void this.#blockCount--;
  }

  send(side: Side, arrive: () => void): void {
    if (!side.isOpen) return;
    const { queue } = side;
    queue.push({ readyMs: this.#world.nowMs + this.#underlay.delay(), arrive });
    if (queue.length === 1) this.#pump(side);
  }

  end(side: Side): void {
    if (!side.isOpen) return;
    const { endpoint, other } = side;
    side.isOpen = false;
    side.queue.length = 0;
    endpoint.lose(other.endpoint.name);
    this.#world.after(this.#underlay.delay(), () => {
      if (this.#isWay(side)) other.endpoint.process.after(0, () => this.end(other));
    });
    this.#dial(endpoint.index, other.endpoint.index);
  }

  #dial(a: number, b: number): void {
    const pair = `${Math.min(a, b)} ${Math.max(a, b)}`;
    if (a === b || this.#dialing.has(pair)) return;
    this.#dialing.add(pair);
    this.#world.after(this.#world.between(DIAL_MIN_MS, DIAL_MAX_MS), () => {
      this.#dialing.delete(pair);
      const [first, second] = [this.#endpoints.get(a)!, this.#endpoints.get(b)!];
      // A process that is started later dials itself.
      if (first.process.isDead || second.process.isDead) return;
      if (!this.#open(first, second)) this.#dial(a, b);
    });
  }

  #open(a: LinkEndpoint, b: LinkEndpoint): boolean {
    if (this.#blockCount > 0 || a.isLinked(b.name) || b.isLinked(a.name)) return false;
    if (a.process.isPaused || b.process.isPaused) return false;
    const side = { endpoint: a, isOpen: true, silence: 0, queue: [] } as unknown as Side;
    const other: Side = { endpoint: b, other: side, isOpen: true, silence: 0, queue: [] };
    side.other = other;
    if (!this.#isWay(side)) return false;
    this.#world.log(`link ${a.name} to ${b.name}`);
    for (const each of [side, other]) {
      each.endpoint.gain(each.other.endpoint.name, each);
      this.#expectCheck(each);
    }
    return true;
  }

  /** One after the other. */
  #pump(side: Side): void {
    const first = side.queue[0]!;
    this.#world.at(Math.max(first.readyMs, this.#world.nowMs), () => this.#carry(side, first));
  }

  #carry(side: Side, first: Side["queue"][number]): void {
    if (side.queue[0] !== first) return; // It was ended.
    if (!this.#isWay(side)) {
      this.#world.after(RESEND_MS, () => this.#carry(side, first));
      return;
    }
    side.queue.shift();
    const { other, endpoint } = side;
    other.endpoint.process.after(0, () => {
      if (!other.isOpen) return;
      this.#world.log(`link ${endpoint.name} to ${other.endpoint.name}`);
      first.arrive();
    });
    if (side.queue.length > 0) this.#pump(side);
  }

  /** Each side asks whether the other one is there. */
  #expectCheck(side: Side): void {
    const { endpoint, other } = side;
    endpoint.process.after(PING_INTERVAL_MS, () => {
      if (!side.isOpen) return;
      const { process } = other.endpoint;
      const answers = other.isOpen && !process.isDead && !process.isPaused && this.#isWay(side);
      side.silence = answers ? 0 : side.silence + 1;
      if (side.silence >= SILENCE_MAX) this.end(side);
      else this.#expectCheck(side);
    });
  }

  #isWay({ endpoint, other }: Side): boolean {
    const [from, to] = [endpoint.index, other.endpoint.index];
    return this.#underlay.reaches(from, to) && this.#underlay.reaches(to, from);
  }
}

interface Subscription {
  readonly pattern: readonly string[];
  readonly handler: MessageHandler;
}

export class LinkEndpoint implements Links {
  readonly process: Process;
  readonly name: string;
  readonly index: number;
  readonly #path: LinkPath;
  readonly #world: World;
  readonly #sides = new Map<string, Side>();
  readonly #subscriptions = new Set<Subscription>();
  /** Subjects that were asked about, and whether there is a subscription for them. */
  readonly #wanted = new Map<string, boolean>();
  readonly #listeners = new Set<() => void>();
  readonly #events = new Set<PeerEvents>();
  #peers: readonly string[] = [];

  constructor(path: LinkPath, world: World, process: Process) {
    this.#path = path;
    this.#world = world;
    this.process = process;
    this.name = process.machine.name;
    this.index = process.machine.index;
    process.onEnd(() => void this.close());
  }

  get peers(): readonly string[] {
    return this.#peers;
  }

  get isConnected(): boolean {
    return this.#sides.size > 0;
  }

  isLinked(peer: string): boolean {
    return this.#sides.has(peer);
  }

  sides(): Side[] {
    return [...this.#sides.values()];
  }

  gain(peer: string, side: Side): void {
    this.#sides.set(peer, side);
    this.#peers = [...this.#sides.keys()];
    this.process.after(0, () => {
      if (!side.isOpen) return;
      for (const events of this.#events) events.onLink(peer, true);
      for (const listener of this.#listeners) listener();
    });
  }

  lose(peer: string): void {
    this.#sides.delete(peer);
    this.#peers = [...this.#sides.keys()];
    if (this.process.isDead) return;
    for (const events of this.#events) events.onLink(peer, false);
  }

  publish(subject: string, data: Uint8Array): void {
    for (const peer of this.#peers) this.publishTo(peer, subject, data);
  }

  publishTo(peer: string, subject: string, data: Uint8Array): void {
    const side = this.#sides.get(peer);
    if (side === undefined) return;
    const { endpoint } = side.other;
    if (!endpoint.wants(subject)) return;
    this.#world.log(`link ${this.name} to ${peer} ${subject}`, data);
    this.#path.send(side, () => endpoint.receive(subject, data, () => {}));
  }

  tellHearing(peer: string, isHeard: boolean): void {
    const side = this.#sides.get(peer);
    if (side === undefined) return;
    const { endpoint } = side.other;
    this.#path.send(side, () => endpoint.hear(this.name, isHeard));
  }

  subscribe(subject: string, handler: MessageHandler): () => void {
    const subscription = { pattern: subject.split("."), handler };
    this.#subscriptions.add(subscription);
    this.#wanted.clear();
    return () => {
      this.#subscriptions.delete(subscription);
      this.#wanted.clear();
    };
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const world = this.#world;
    return ask(this.process, timeoutMs, (question) => {
      const asked = this.sides().filter(({ other }) => other.endpoint.wants(subject));
      if (asked.length === 0) question.fail(`no link to who answers ${subject}`);
      for (const side of asked) {
        world.log(`link ${this.name} asks ${side.other.endpoint.name} ${subject}`, data);
        this.#path.send(side, () => {
          side.other.endpoint.receive(subject, data, (answer) => {
            world.log(`link ${side.other.endpoint.name} answers`, answer);
            this.#path.send(side.other, () => question.answer(answer));
          });
        });
      }
    });
  }

  onReconnect(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onEvents(events: PeerEvents): () => void {
    this.#events.add(events);
    return () => this.#events.delete(events);
  }

  wants(subject: string): boolean {
    const known = this.#wanted.get(subject);
    if (known !== undefined) return known;
    const tokens = subject.split(".");
    const isWanted = [...this.#subscriptions].some(({ pattern }) => matches(pattern, tokens));
    this.#wanted.set(subject, isWanted);
    return isWanted;
  }

  receive(subject: string, data: Uint8Array, respond: (data: Uint8Array) => void): void {
    const tokens = subject.split(".");
    for (const { pattern, handler } of [...this.#subscriptions]) {
      if (matches(pattern, tokens)) handler(data, respond, subject);
    }
  }

  /** The peer says whether it hears us over NATS. */
  hear(peer: string, hearsUs: boolean): void {
    for (const events of this.#events) events.onHearing(peer, hearsUs);
  }

  close(): Promise<void> {
    for (const side of this.sides()) this.#path.end(side);
    this.#subscriptions.clear();
    this.#wanted.clear();
    this.#listeners.clear();
    this.#events.clear();
    return Promise.resolve();
  }
}
