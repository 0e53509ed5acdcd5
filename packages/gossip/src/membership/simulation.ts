/**
 * For tests: a cluster of state machines on one virtual clock, over a network that loses, delays,
 * cuts one way and stalls members. Everything follows from the seed: the same seed gives the same
 * events, to the last message.
 */
import { createHash } from "node:crypto";
import { EventQueue } from "../event-queue.ts";
import { seededRandom } from "../seeded-random.ts";
import type { Status } from "./claim.ts";
import { decode, encode } from "./messages.ts";
import { begin, dueMs, type Event, type State } from "./state.ts";
import { step } from "./swim.ts";

/** Virtual time begins here; incarnations are times. */
export const START_MS = 1_000_000;
const DELAY_MIN_MS = 1;
const DELAY_SPREAD_MS = 9;

export interface SimulationOptions {
  readonly seed: number;
  readonly count: number;
  /** Part of all messages that are lost. */
  readonly loss?: number;
}

export interface Change {
  readonly atMs: number;
  /** Who came to know. */
  readonly by: string;
  readonly name: string;
  readonly status: Status;
}

interface Node {
  state: State;
  isUp: boolean;
  /** Until then nothing runs here; what arrives waits. */
  stalledUntilMs: number;
  /** When the tick in the queue is due. */
  tickMs: number;
}

export class Simulation {
  readonly changes: Change[] = [];
  readonly nodes = new Map<string, Node>();
  readonly cuts = new Set<string>();
  loss: number;
  nowMs = START_MS;
  sentCount = 0;
  sentSize = 0;
  sizeMax = 0;
  readonly #random: () => number;
  readonly #queue = new EventQueue();
  readonly #log = createHash("sha256");

  constructor({ seed, count, loss = 0 }: SimulationOptions) {
    this.#random = seededRandom(seed);
    this.loss = loss;
    const names = Array.from({ length: count }, (_, index) => `c${index}`);
    for (const name of names) this.#add(name);
    for (const name of names) this.#feed(name, { type: "known", nowMs: this.nowMs, names });
  }

  get names(): string[] {
    return [...this.nodes.keys()];
  }

  /** Of everything that has happened; equal for equal runs. */
  get digest(): string {
    return this.#log.copy().digest("hex");
  }

  run(forMs: number): void {
    const endMs = this.nowMs + forMs;
    for (;;) {
      const event = this.#queue.takeBefore(endMs);
      if (event === undefined) break;
      this.nowMs = event.atMs;
      event.run();
    }
    this.nowMs = endMs;
  }

  crash(name: string): void {
    this.nodes.get(name)!.isUp = false;
  }

  /** The same name again, with nothing that it knew. */
  restart(name: string): void {
    const { names } = this;
    this.#add(name);
    this.#feed(name, { type: "known", nowMs: this.nowMs, names });
  }

  /** Stops everything at `name` for that long, as a debugger or a full machine does. */
  stall(name: string, forMs: number): void {
    this.nodes.get(name)!.stalledUntilMs = this.nowMs + forMs;
  }

  /** Nothing gets from one to the other any more; the way back stays. */
  cut(from: string, to: string): void {
    this.cuts.add(`${from} ${to}`);
  }

  heal(): void {
    this.cuts.clear();
  }

  /** What `by` holds of `name`. */
  statusOf(by: string, name: string): Status | undefined {
    return this.nodes.get(by)!.state.members.get(name)?.status;
  }

  /** Whether all that run hold that of `name`. */
  agree(name: string, status: Status): boolean {
    return [...this.nodes].every(([by, { isUp }]) => {
      return !isUp || by === name || this.statusOf(by, name) === status;
    });
  }

  #add(name: string): void {
    const state = begin(name, Math.floor(this.nowMs), this.nowMs + this.#random() * 500);
    this.nodes.set(name, {
      state,
      isUp: true,
      stalledUntilMs: 0,
      tickMs: Number.POSITIVE_INFINITY,
    });
  }

  #feed(name: string, event: Event): void {
    const node = this.nodes.get(name)!;
    const { state, effects } = step(node.state, event);
    node.state = state;
    for (const effect of effects) {
      if (effect.type === "send") {
        const data = encode(effect.message);
        this.sentCount++;
        this.sentSize += data.length;
        this.sizeMax = Math.max(this.sizeMax, data.length);
        this.#carry(name, effect.to, data);
      } else if (effect.type === "status") {
        this.changes.push({ atMs: this.nowMs, by: name, name: effect.name, status: effect.status });
      }
      this.#log.update(`${this.nowMs} ${name} ${JSON.stringify(effect)}\n`);
    }
    this.#schedule(name, node);
  }

  #carry(from: string, to: string, data: Uint8Array): void {
    const isLost = this.#random() < this.loss;
    const delayMs = DELAY_MIN_MS + DELAY_SPREAD_MS * this.#random();
    if (isLost || this.cuts.has(`${from} ${to}`)) return;
    this.#queue.add(this.nowMs + delayMs, () => this.#deliver(from, to, data));
  }

  #deliver(from: string, to: string, data: Uint8Array): void {
    const node = this.nodes.get(to);
    if (node === undefined || !node.isUp) return;
    if (node.stalledUntilMs > this.nowMs) {
      this.#queue.add(node.stalledUntilMs, () => this.#deliver(from, to, data));
      return;
    }
    const message = decode(data, this.nowMs);
    if (typeof message === "string") throw new Error(`a message that was refused: ${message}`);
    this.#feed(to, { type: "message", nowMs: this.nowMs, from, message });
  }

  #schedule(name: string, node: Node): void {
    const atMs = Math.max(dueMs(node.state), this.nowMs);
    if (node.tickMs <= atMs) return;
    node.tickMs = atMs;
    this.#queue.add(atMs, () => this.#tick(name, node, atMs));
  }

  #tick(name: string, node: Node, atMs: number): void {
    if (this.nodes.get(name) !== node || !node.isUp || node.tickMs !== atMs) return;
    if (node.stalledUntilMs > this.nowMs) {
      this.#queue.add(node.stalledUntilMs, () => this.#tick(name, node, atMs));
      return;
    }
    node.tickMs = Number.POSITIVE_INFINITY;
    const entropy = Math.floor(this.#random() * 2 ** 32);
    const lateMs = this.nowMs - atMs;
    this.#feed(name, { type: "tick", nowMs: this.nowMs, lateMs, entropy });
  }
}
