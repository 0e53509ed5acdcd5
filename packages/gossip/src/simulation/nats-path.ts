/**
 * Simulated NATS: a server beside each chassis, a full mesh of them, and what can go wrong with it.
 * Messages between two chassis keep their order unless `reorderRate` says otherwise. As with the
 * real one, whatever is on its way when something breaks is lost without a word.
 */
import type { MessageHandler, Transport } from "../transport.ts";
import { forge } from "./forger.ts";
import type { Machine, Process } from "./machine.ts";
import { ask } from "./question.ts";
import type { Underlay } from "./underlay.ts";
import type { World } from "./world.ts";

const CONNECT_MIN_MS = 5;
const CONNECT_MAX_MS = 60;
/** How much later a message may come that others overtake. */
const REORDER_MAX_MS = 400;
/** What somebody who listens remembers. */
const OVERHEARD_MAX = 256;

interface Subscription {
  readonly endpoint: NatsEndpoint;
  readonly pattern: readonly string[];
  readonly handler: MessageHandler;
}

type Respond = (from: NatsEndpoint, data: Uint8Array) => void;

/** The nats-server of one machine. */
class Server {
  endpoint: NatsEndpoint | null = null;
  downCount = 0;
  hungCount = 0;
  /** What waits until it does something again. */
  held: (() => void)[] = [];
}

export class NatsPath {
  lossRate = 0;
  repeatRate = 0;
  reorderRate = 0;
  readonly #world: World;
  readonly #underlay: Underlay;
  readonly #servers: readonly Server[];
  /** When the last message from one to another arrives, by both indices. */
  readonly #lastMs: Float64Array;
  /** By pattern, and within it in the order in which they came. */
  readonly #subscriptions = new Map<string, Set<Subscription>>();
  /** Bytes of subjects and data that were said, each message once, and that were heard. */
  saidSize = 0;
  heardSize = 0;
  readonly #overheard: { readonly subject: string; readonly data: Uint8Array }[] = [];

  constructor(world: World, underlay: Underlay, count: number) {
    this.#world = world;
    this.#underlay = underlay;
    this.#servers = Array.from({ length: count }, () => new Server());
    this.#lastMs = new Float64Array(count * count);
  }

  connect(process: Process): NatsEndpoint {
    const endpoint = new NatsEndpoint(this, this.#world, process);
    this.#servers[process.machine.index]!.endpoint = endpoint;
    this.#connectSoon(endpoint);
    return endpoint;
  }

  /** Stops the server of a machine; returns what starts it again. */
  stopServer({ index }: Machine): () => void {
    const server = this.#servers[index]!;
    server.downCount++;
    server.endpoint?.setConnected(false);
    return () => {
      if (--server.downCount === 0 && server.endpoint !== null) this.#connectSoon(server.endpoint);
    };
  }

  /** The server of a machine is there and does nothing; returns what lets it go on. */
  hangServer({ index }: Machine): () => void {
    const server = this.#servers[index]!;
    server.hungCount++;
    return () => {
      if (--server.hungCount > 0) return;
      for (const run of server.held.splice(0)) this.#world.after(0, run);
    };
  }

  /** Somebody sends to everybody what was sent before. */
  replay(): void {
    const old = this.#world.pick(this.#overheard);
    if (old !== undefined) this.#inject(old.subject, old.data);
  }

  /** Somebody sends a change that its author did not make. */
  forge(): void {
    const old = this.#world.pick(this.#overheard.filter(({ subject }) => subject.endsWith(".d")));
    if (old !== undefined) this.#inject(old.subject, forge(this.#world, old.data));
  }

  subscribe(subscription: Subscription): () => void {
    const pattern = subscription.pattern.join(".");
    let all = this.#subscriptions.get(pattern);
    if (all === undefined) {
      all = new Set();
      if (subscription.pattern.filter((token) => token === "*").length > 1) {
        throw new RangeError(`simulated NATS: expected one * at most, got ${pattern}`);
      }
      this.#subscriptions.set(pattern, all);
    }
    all.add(subscription);
    return () => all.delete(subscription);
  }

  /** Whether anybody connected is there to receive it. */
  deliver(from: NatsEndpoint, subject: string, data: Uint8Array, respond: Respond): boolean {
    this.#world.log(`nats ${from.name} ${subject}`, data);
    this.#overheard.push({ subject, data });
    if (this.#overheard.length >= 2 * OVERHEARD_MAX) this.#overheard.splice(0, OVERHEARD_MAX);
    this.saidSize += subject.length + data.length;
    let isWanted = false;
    for (const pattern of patternsOf(subject)) {
      isWanted = this.#deliverTo(pattern, from, subject, data, respond) || isWanted;
    }
    return isWanted;
  }

  /** Runs `arrive` at `to` when the message gets there, as often as it does. */
  carry(from: NatsEndpoint, to: NatsEndpoint, arrive: () => void): void {
    const world = this.#world;
    const copies = this.repeatRate > 0 && world.chance(this.repeatRate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.lossRate > 0 && world.chance(this.lossRate)) continue;
      if (!this.#isWay(from, to)) continue;
      const delayMs = this.#arrivalMs(from, to) - world.nowMs;
      to.process.after(delayMs, () => this.#arrive(from, to, arrive));
    }
  }

  #arrive(from: NatsEndpoint, to: NatsEndpoint, arrive: () => void): void {
    if (!to.isConnected || !this.#isWay(from, to)) return;
    const hung = [from, to].map(({ index }) => this.#servers[index]!);
    const server = hung.find(({ hungCount }) => hungCount > 0);
    if (server !== undefined) {
      server.held.push(() => to.process.after(0, () => this.#arrive(from, to, arrive)));
      return;
    }
    this.#world.log(`nats ${from.name} to ${to.name}`);
    arrive();
  }

  #inject(subject: string, data: Uint8Array): void {
    const world = this.#world;
    world.log(`nats somebody ${subject}`, data);
    for (const pattern of patternsOf(subject)) {
      for (const { endpoint, handler } of this.#subscriptions.get(pattern) ?? []) {
        endpoint.process.after(1, () => {
          if (endpoint.isConnected) handler(data, () => {}, subject);
        });
      }
    }
  }

  #deliverTo(
    pattern: string,
    from: NatsEndpoint,
    subject: string,
    data: Uint8Array,
    respond: Respond,
  ): boolean {
    let isWanted = false;
    for (const { endpoint, handler } of this.#subscriptions.get(pattern) ?? []) {
      if (endpoint === from || !endpoint.isConnected) continue;
      isWanted ||= this.#isWay(from, endpoint);
      this.carry(from, endpoint, () => {
        this.heardSize += subject.length + data.length;
        handler(data, (answer) => respond(endpoint, answer), subject);
      });
    }
    return isWanted;
  }

  #isWay({ index: from }: NatsEndpoint, { index: to }: NatsEndpoint): boolean {
    return this.#underlay.reaches(from, to) && this.#underlay.isMeshed(from, to);
  }

  #arrivalMs({ index: from }: NatsEndpoint, { index: to }: NatsEndpoint): number {
    const world = this.#world;
    const soonMs = world.nowMs + this.#underlay.delay();
    if (this.reorderRate > 0 && world.chance(this.reorderRate)) {
      return soonMs + world.between(0, REORDER_MAX_MS);
    }
    const pair = from * this.#servers.length + to;
    const arrivalMs = Math.max(soonMs, this.#lastMs[pair]!);
    this.#lastMs[pair] = arrivalMs;
    return arrivalMs;
  }

  #connectSoon(endpoint: NatsEndpoint): void {
    endpoint.process.after(this.#world.between(CONNECT_MIN_MS, CONNECT_MAX_MS), () => {
      const server = this.#servers[endpoint.index]!;
      if (server.downCount === 0 && server.endpoint === endpoint) endpoint.setConnected(true);
    });
  }
}

/** What a subscription to `subject` may be to; looking at all of them would take too long. */
function patternsOf(subject: string): string[] {
  const tokens = subject.split(".");
  return [subject, ...tokens.map((_, index) => tokens.with(index, "*").join("."))];
}

export class NatsEndpoint implements Transport {
  readonly process: Process;
  readonly name: string;
  readonly index: number;
  readonly #path: NatsPath;
  readonly #world: World;
  readonly #listeners = new Set<() => void>();
  readonly #undo = new Set<() => void>();
  #isConnected = false;

  constructor(path: NatsPath, world: World, process: Process) {
    this.#path = path;
    this.#world = world;
    this.process = process;
    this.name = process.machine.name;
    this.index = process.machine.index;
    process.onEnd(() => void this.close());
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  setConnected(isConnected: boolean): void {
    if (this.process.isDead || this.#isConnected === isConnected) return;
    this.#isConnected = isConnected;
    this.#world.log(`nats ${this.name} ${isConnected ? "connected" : "disconnected"}`);
    if (isConnected) for (const listener of [...this.#listeners]) listener();
  }

  publish(subject: string, data: Uint8Array): void {
    if (this.#isConnected) this.#path.deliver(this, subject, data, () => {});
  }

  subscribe(subject: string, handler: MessageHandler): () => void {
    const pattern = subject.split(".");
    const undo = this.#path.subscribe({ endpoint: this, pattern, handler });
    this.#undo.add(undo);
    return () => {
      this.#undo.delete(undo);
      undo();
    };
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const world = this.#world;
    return ask(this.process, timeoutMs, (question) => {
      if (!this.#isConnected) {
        question.fail("not connected");
        return;
      }
      const isWanted = this.#path.deliver(this, subject, data, (responder, answer) => {
        if (!responder.isConnected) return;
        world.log(`nats ${responder.name} answers`, answer);
        this.#path.saidSize += answer.length;
        this.#path.carry(responder, this, () => {
          this.#path.heardSize += answer.length;
          question.answer(answer);
        });
      });
      // The server says at once when nobody is there to ask.
      if (!isWanted) this.process.after(1, () => question.fail(`nobody answers ${subject}`));
    });
  }

  onReconnect(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): Promise<void> {
    this.#isConnected = false;
    for (const undo of this.#undo) undo();
    this.#undo.clear();
    this.#listeners.clear();
    return Promise.resolve();
  }
}
