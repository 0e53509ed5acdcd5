/**
 * The in-memory twin of NATS: one bus, any number of endpoints, with injected delay, loss,
 * repetition and partitions. Deterministic for a given `random` and `setTimer`.
 *
 * Faults are per delivery, so one publish may reach some subscribers and not others. An endpoint
 * that is cut off keeps its subscriptions, as a NATS client does.
 */
import { matches } from "./subject-pattern.ts";
import type { MessageHandler, SetTimer, Transport } from "./transport.ts";

export interface MemoryBusOptions {
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly setTimer: SetTimer;
  /** Each delivery takes a time between these two. */
  readonly delayMinMs?: number;
  readonly delayMaxMs?: number;
}

interface Subscription {
  readonly pattern: readonly string[];
  readonly handler: MessageHandler;
}

export class MemoryBus {
  /** Share of deliveries that are lost, 0–1. */
  lossRate = 0;
  /** Share of deliveries that arrive twice, 0–1. */
  repeatRate = 0;
  readonly setTimer: SetTimer;
  readonly #random: () => number;
  readonly #delayMinMs: number;
  readonly #delayMaxMs: number;
  readonly #endpoints = new Set<MemoryTransport>();
  #groups: ReadonlyMap<string, number> = new Map();

  constructor(options: MemoryBusOptions) {
    this.#random = options.random;
    this.setTimer = options.setTimer;
    this.#delayMinMs = options.delayMinMs ?? 0;
    this.#delayMaxMs = options.delayMaxMs ?? this.#delayMinMs;
  }

  /** A new endpoint, connected from the next turn of the clock on. */
  connect(name: string): MemoryTransport {
    const endpoint = new MemoryTransport(this, name);
    this.#endpoints.add(endpoint);
    this.setTimer(() => endpoint.setConnected(true), 0);
    return endpoint;
  }

  /** Only endpoints of one group hear each other; those in no group are a group of their own. */
  partition(groups: readonly (readonly string[])[]): void {
    this.#groups = new Map(groups.flatMap((names, index) => names.map((name) => [name, index])));
  }

  heal(): void {
    this.#groups = new Map();
  }

  /** For endpoints: hands `data` to each of the others that subscribed, subject to the faults. */
  deliver(
    from: MemoryTransport,
    subject: string,
    data: Uint8Array,
    respond: (from: MemoryTransport, data: Uint8Array) => void,
  ): void {
    const tokens = subject.split(".");
    for (const endpoint of this.#endpoints) {
      if (endpoint === from) continue;
      this.carry(from, endpoint, () => endpoint.receive(tokens, data, respond));
    }
  }

  /** For endpoints: runs `arrive` after a delay, never or twice, as the faults have it. */
  carry(from: MemoryTransport, to: MemoryTransport, arrive: () => void): void {
    const copies = this.#random() < this.repeatRate ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const isLost = this.#random() < this.lossRate;
      const span = this.#delayMaxMs - this.#delayMinMs;
      const delayMs = this.#delayMinMs + this.#random() * span;
      if (isLost || !this.#canReach(from, to)) continue;
      this.setTimer(() => {
        if (to.isConnected && this.#canReach(from, to)) arrive();
      }, delayMs);
    }
  }

  forget(endpoint: MemoryTransport): void {
    this.#endpoints.delete(endpoint);
  }

  #canReach(from: MemoryTransport, to: MemoryTransport): boolean {
    return this.#groups.get(from.name) === this.#groups.get(to.name);
  }
}

export class MemoryTransport implements Transport {
  readonly name: string;
  readonly #bus: MemoryBus;
  readonly #subscriptions = new Set<Subscription>();
  readonly #listeners = new Set<() => void>();
  readonly #requests = new Set<(reason: Error) => void>();
  #isConnected = false;
  #isClosed = false;

  constructor(bus: MemoryBus, name: string) {
    this.#bus = bus;
    this.name = name;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** Cuts the endpoint off, or connects it again. */
  setConnected(isConnected: boolean): void {
    if (this.#isClosed || this.#isConnected === isConnected) return;
    this.#isConnected = isConnected;
    if (isConnected) for (const listener of this.#listeners) listener();
  }

  publish(subject: string, data: Uint8Array): void {
    if (this.#isConnected) this.#bus.deliver(this, subject, data.slice(), () => {});
  }

  subscribe(subject: string, handler: MessageHandler): () => void {
    const subscription = { pattern: subject.split("."), handler };
    this.#subscriptions.add(subscription);
    return () => this.#subscriptions.delete(subscription);
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (!this.#isConnected) return Promise.reject(new Error(`${this.name} is not connected`));
    return new Promise((resolve, reject) => {
      const fail = (reason: Error): void => {
        cancelTimer();
        this.#requests.delete(fail);
        reject(reason);
      };
      const cancelTimer = this.#bus.setTimer(
        () => fail(new Error(`no answer to ${subject} within ${timeoutMs} ms`)),
        timeoutMs,
      );
      this.#requests.add(fail);
      this.#bus.deliver(this, subject, data.slice(), (responder, answer) => {
        this.#bus.carry(responder, this, () => {
          if (!this.#requests.delete(fail)) return;
          cancelTimer();
          resolve(answer);
        });
      });
    });
  }

  onReconnect(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For the bus: a message has arrived. */
  receive(
    tokens: readonly string[],
    data: Uint8Array,
    respond: (from: MemoryTransport, data: Uint8Array) => void,
  ): void {
    for (const { pattern, handler } of this.#subscriptions) {
      if (!matches(pattern, tokens)) continue;
      handler(data, (answer) => respond(this, answer.slice()), tokens.join("."));
    }
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#isConnected = false;
    this.#subscriptions.clear();
    this.#listeners.clear();
    this.#bus.forget(this);
    for (const fail of this.#requests) fail(new Error(`${this.name} was closed`));
    return Promise.resolve();
  }
}
