/**
 * All gateways whose group this chassis belongs to: heartbeats between their voters, and the timer.
 * What is decided for each is in gateway.ts. Runs on the control thread.
 *
 * One heartbeat tells a peer about all gateways that both have a voice in, so that their number
 * costs no messages. It takes every path there is: a nats-server that hangs moves no gateway.
 */
import type { Way } from "../peer-link/fallback-transport.ts";
import type { Refusals } from "../refusals.ts";
import { gatewayMessages, originOf } from "../subjects.ts";
import type { SetTimer, Transport } from "../transport.ts";
import { Gateway, HEARTBEAT_MS, JOINT_MS, LEASE_MS, type Reason } from "./gateway.ts";
import { type Group, votersOf } from "./group.ts";
import { decode, ENTRIES_MAX, encode, type Heartbeat } from "./messages.ts";
import { PROMISE_MS } from "./voices.ts";

export interface GatewaysOptions {
  readonly self: string;
  /** Greater than at the last start of this chassis. */
  readonly incarnation: number;
  readonly transport: Transport;
  /** Sends to one chassis; `publish` of the transport when left out. */
  readonly send?: (peer: string, subject: string, data: Uint8Array, way: Way) => void;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  readonly setTimer: SetTimer;
  readonly refusals: Refusals;
  /** Hears of each lease that is longer than it was, or over, before anybody else does. */
  readonly onLease: (gateway: string, untilMs: number) => void;
  /** Hears when this chassis begins or ends to forward, or has another reason not to. */
  readonly onTurn: (gateway: string, turn: Turn) => void;
}

/** Where a gateway is, as this chassis has it. */
export interface Turn {
  /** Whether this chassis forwards. */
  readonly isActive: boolean;
  /** Of its lease; 0 without. */
  readonly epoch: number;
  /** Why it does not forward. */
  readonly reason: Reason;
  /** Who does, as far as is known here; undefined: nobody. */
  readonly active: string | undefined;
}

interface Held {
  readonly gateway: Gateway;
  untilMs: number;
  turn: string;
}

/** The last message of a peer. */
interface Peer {
  readonly incarnation: number;
  readonly seq: number;
  readonly heardMs: number;
}

export class Gateways {
  readonly #options: GatewaysOptions;
  readonly #held = new Map<string, Held>();
  readonly #leaving = new Map<string, number>();
  readonly #peers = new Map<string, Peer>();
  /** When our own messages were sent, of late. */
  readonly #sentMs = new Map<number, number>();
  readonly #unsubscribe: () => void;
  #seq = 0;
  #beatMs: number;
  #cancelTimer: () => void = () => {};
  #isStopped = false;

  /** Starts at once. The transport stays the caller's. */
  constructor(options: GatewaysOptions) {
    const { self, transport, now } = options;
    this.#options = options;
    this.#beatMs = now();
    this.#unsubscribe = transport.subscribe(gatewayMessages("*", self), (data, _, subject) => {
      this.#receive(originOf(subject) ?? "", data);
    });
    this.#schedule();
  }

  /** The gateways that there are, by name; those without a voice of this chassis are left out. */
  setGroups(groups: ReadonlyMap<string, Group>): void {
    const { self, incarnation, now } = this.#options;
    const nowMs = now();
    for (const [name, group] of groups) {
      const held = this.#held.get(name);
      const isVoter = votersOf(group).includes(self);
      if (held !== undefined) held.gateway.setGroup(group, nowMs);
      else if (isVoter) {
        const gateway = new Gateway(name, self, incarnation, group, nowMs);
        this.#held.set(name, { gateway, untilMs: Number.NEGATIVE_INFINITY, turn: "" });
      }
      // Who has left is still asked for a while: until all know of it.
      if (isVoter) this.#leaving.delete(name);
      else if (held !== undefined && !this.#leaving.has(name)) {
        this.#leaving.set(name, nowMs + JOINT_MS);
      }
    }
    for (const [name, { gateway }] of this.#held) {
      if (groups.has(name)) continue;
      gateway.setDevice(false, nowMs);
      this.#settle(name);
      this.#held.delete(name);
      this.#leaving.delete(name);
    }
    for (const name of this.#held.keys()) this.#settle(name);
    this.#schedule();
  }

  /** Whether all devices of the gateway's ports are up here. */
  setDevice(name: string, isUp: boolean): void {
    const held = this.#held.get(name);
    if (held === undefined) return;
    held.gateway.setDevice(isUp, this.#options.now());
    this.#settle(name);
    this.#schedule();
  }

  /** Another chassis claims the gateway's ports with that epoch, or did once. */
  claimed(name: string, epoch: number): void {
    this.#held.get(name)?.gateway.claimed(epoch);
  }

  /** undefined: this chassis has no voice in it. */
  turnOf(name: string): Turn | undefined {
    const held = this.#held.get(name);
    return held === undefined ? undefined : turnOf(held.gateway, this.#options.now());
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer();
    this.#unsubscribe();
  }

  #receive(from: string, data: Uint8Array): void {
    const { self, now, refusals } = this.#options;
    const heartbeat = decode(data);
    if (this.#isStopped) return;
    if (heartbeat === null) {
      refusals.add("gateway-malformed", from, `a heartbeat of gateways, ${data.length} bytes`);
      return;
    }
    if (from === self) {
      refusals.add("gateway-namesake", from, "a heartbeat from another chassis of our name");
      return;
    }
    if (![...this.#held.values()].some(({ gateway }) => gateway.voters.has(from))) return;
    const { incarnation, seq, entries } = heartbeat;
    const heardMs = now();
    if (isOld(this.#peers.get(from), heartbeat, heardMs)) return;
    this.#peers.set(from, { incarnation, seq, heardMs });
    const letter = { from, incarnation, seq, sentMs: (own: number) => this.#sentMs.get(own) };
    for (const entry of entries) {
      const held = this.#held.get(entry.gateway);
      if (held === undefined) continue;
      held.gateway.hear(letter, entry, heardMs);
      this.#settle(entry.gateway);
    }
    this.#schedule();
  }

  #tick(): void {
    const nowMs = this.#options.now();
    for (const [name, { gateway }] of this.#held) {
      gateway.step(nowMs);
      this.#settle(name);
    }
    for (const [name, untilMs] of this.#leaving) {
      if (nowMs < untilMs) continue;
      this.#leaving.delete(name);
      this.#held.delete(name);
    }
    if (nowMs >= this.#beatMs) {
      this.#beatMs = nowMs + HEARTBEAT_MS;
      this.#tell([...this.#held.values()].map(({ gateway }) => gateway));
    }
    this.#schedule();
  }

  /** Says, here and to the others, what has come of a step. */
  #settle(name: string): void {
    const { now, onLease, onTurn } = this.#options;
    const held = this.#held.get(name);
    if (held === undefined) return;
    const { gateway } = held;
    if (gateway.untilMs !== held.untilMs) {
      held.untilMs = gateway.untilMs;
      onLease(name, held.untilMs);
    }
    if (gateway.takeNews()) this.#tell([gateway]);
    const turn = turnOf(gateway, now());
    const text = JSON.stringify(turn);
    if (text === held.turn) return;
    held.turn = text;
    onTurn(name, turn);
  }

  #tell(gateways: readonly Gateway[]): void {
    const { self } = this.#options;
    const byPeer = new Map<string, Gateway[]>();
    for (const gateway of gateways) {
      for (const voter of gateway.voters) {
        if (voter === self) continue;
        byPeer.set(voter, [...(byPeer.get(voter) ?? []), gateway]);
      }
    }
    for (const [peer, shared] of byPeer) {
      for (let at = 0; at < shared.length; at += ENTRIES_MAX) {
        this.#send(peer, shared.slice(at, at + ENTRIES_MAX));
      }
    }
  }

  #send(peer: string, gateways: readonly Gateway[]): void {
    const { self, incarnation, transport, send, now } = this.#options;
    const nowMs = now();
    const seq = ++this.#seq;
    this.#sentMs.set(seq, nowMs);
    for (const [old, sentMs] of this.#sentMs) {
      if (nowMs - sentMs <= LEASE_MS) break;
      this.#sentMs.delete(old);
    }
    const entries = gateways.map((gateway) => gateway.entryAt(nowMs));
    const data = encode({ incarnation, seq, entries });
    const subject = gatewayMessages(self, peer);
    if (send === undefined) transport.publish(subject, data);
    else send(peer, subject, data, "surely");
  }

  #schedule(): void {
    const { now, setTimer } = this.#options;
    this.#cancelTimer();
    if (this.#isStopped) return;
    const nowMs = now();
    const ends = [...this.#held.values()].map(({ gateway }) => gateway.dueMs(nowMs));
    const dueMs = Math.min(this.#beatMs, ...ends, ...this.#leaving.values());
    // Rounded up: a timer that is early finds nothing to do.
    const delayMs = Math.max(0, Math.ceil(dueMs - nowMs));
    this.#cancelTimer = setTimer(() => this.#tick(), delayMs);
  }
}

/**
 * Whether a message was overtaken, or comes a second time on another path. After a silence every
 * one is news: a chassis that has lost its disk may count its lives anew.
 */
function isOld(last: Peer | undefined, { incarnation, seq }: Heartbeat, nowMs: number): boolean {
  if (last === undefined || nowMs - last.heardMs >= PROMISE_MS) return false;
  if (incarnation !== last.incarnation) return incarnation < last.incarnation;
  return seq <= last.seq;
}

function turnOf(gateway: Gateway, nowMs: number): Turn {
  return {
    isActive: gateway.isActive,
    epoch: gateway.epoch,
    reason: gateway.reasonAt(nowMs),
    active: gateway.activeAt(nowMs),
  };
}
