/**
 * Who of the cluster lives: runs the state machine of swim.ts on a clock and a transport. Runs on
 * the control thread.
 *
 * The question is whether the other chassis is there, not which way leads to it. So a message goes
 * to its receiver on every path there is, but for the first ping, which is one of many and mostly
 * answered, and for what answers a ping: that goes back where the ping came from. It travels under
 * the sender's own subject, so that nobody asks or answers in another's name over a link, and over
 * NATS no more than elsewhere.
 */
import type { Way } from "../peer-link/fallback-transport.ts";
import type { Refusals } from "../refusals.ts";
import { memberMessages, originOf } from "../subjects.ts";
import type { SetTimer, Transport } from "../transport.ts";
import type { Member, Status } from "./claim.ts";
import { decode, encode } from "./messages.ts";
import { begin, dueMs, type Effect, type Event, type State } from "./state.ts";
import { step } from "./swim.ts";

export interface MembershipOptions {
  readonly name: string;
  /** Greater than at the last start of this chassis; the time of start will do. */
  readonly incarnation: number;
  readonly transport: Transport;
  /** Sends to one chassis; `publish` of the transport when left out. */
  readonly send?: (peer: string, subject: string, data: Uint8Array, way: Way) => void;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly setTimer: SetTimer;
  readonly refusals: Refusals;
}

export class Membership {
  readonly #options: MembershipOptions;
  readonly #listeners = new Set<(name: string, status: Status) => void>();
  readonly #unsubscribe: () => void;
  #state: State;
  #dueMs = Number.POSITIVE_INFINITY;
  #cancelTimer: () => void = () => {};
  #isStopped = false;

  /** Starts at once. The transport stays the caller's. */
  constructor(options: MembershipOptions) {
    const { name, incarnation, transport, now } = options;
    this.#options = options;
    this.#state = begin(name, incarnation, now());
    this.#unsubscribe = transport.subscribe(memberMessages("*", name), (data, _respond, subject) =>
      this.#receive(originOf(subject) ?? "", data),
    );
    this.#schedule();
  }

  /** The others, by name. Times are of the clock `now`. */
  members(): Member[] {
    return [...this.#state.members.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Of this chassis: grows when it has to say that it lives. */
  get incarnation(): number {
    return this.#state.incarnation;
  }

  /** How much it doubts itself, 0 to 7: others get so many times more time. */
  get health(): number {
    return this.#state.health;
  }

  /** All chassis that there should be, ourselves or not. */
  setKnown(names: readonly string[]): void {
    this.#feed({ type: "known", nowMs: this.#options.now(), names });
  }

  /** Calls `listener` with each new status; returns what ends that. */
  onStatus(listener: (name: string, status: Status) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer();
    this.#unsubscribe();
  }

  #receive(from: string, data: Uint8Array): void {
    const { wallClock, refusals, now, name } = this.#options;
    const message = decode(data, wallClock());
    if (typeof message === "string") {
      refusals.add(message, from, `a message of membership, ${data.length} bytes`);
    } else if (from === name) {
      refusals.add("member-namesake", from, "a message from another chassis of our name");
    } else {
      this.#feed({ type: "message", nowMs: now(), from, message });
    }
  }

  #tick(): void {
    const { now, random } = this.#options;
    const nowMs = now();
    const lateMs = Math.max(0, nowMs - this.#dueMs);
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#feed({ type: "tick", nowMs, lateMs, entropy: Math.floor(random() * 2 ** 32) });
  }

  #feed(event: Event): void {
    if (this.#isStopped) return;
    const { state, effects } = step(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
    this.#schedule();
  }

  #perform(effect: Effect): void {
    const { name, transport, send, refusals } = this.#options;
    switch (effect.type) {
      case "send": {
        const subject = memberMessages(name, effect.to);
        const data = encode(effect.message);
        if (send === undefined) transport.publish(subject, data);
        else send(effect.to, subject, data, effect.way);
        return;
      }
      case "status":
        for (const listener of this.#listeners) listener(effect.name, effect.status);
        return;
      case "refuse":
        refusals.add("member-too-many", effect.name, "no room for one more chassis");
        return;
    }
  }

  /** A timer that is set stays unless an earlier one is due: its lateness is to be known. */
  #schedule(): void {
    const due = dueMs(this.#state);
    if (this.#isStopped || due >= this.#dueMs) return;
    const { now, setTimer } = this.#options;
    this.#cancelTimer();
    const nowMs = now();
    this.#dueMs = Math.max(due, nowMs);
    this.#cancelTimer = setTimer(() => this.#tick(), this.#dueMs - nowMs);
  }
}
