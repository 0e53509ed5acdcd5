/**
 * Who runs what: asks the other chassis whether they hold some writes and their workers run them,
 * and answers such questions. Runs on the control thread.
 *
 * The answer of each chassis is its own: nobody speaks for others, and nobody has to keep count. A
 * question also is news: who does not hold what it is about fetches that from who asks.
 */
import type { Vector } from "@rhone/state/ledger";
import type { Store } from "@rhone/state/store";
import {
  APPLIED_TIMEOUT_MAX_MS,
  type AppliedReplyMessage,
  type AppliedRequestMessage,
  decode,
  encode,
} from "./codec.ts";
import type { Status } from "./membership/claim.ts";
import * as subjects from "./subjects.ts";
import type { SetTimer, Transport } from "./transport.ts";

/**
 * How far something has to be in force:
 *
 *   local    at the chassis that was asked
 *   applied  at every chassis that lives; one that dies meanwhile is not waited for
 *   quorum   at more than half of all that are known, also of those that are dead, and on their
 *            disks: after a restart they still hold it
 */
export const LEVELS = ["local", "applied", "quorum"] as const;
export type Level = (typeof LEVELS)[number];

/** After this a chassis that still lacks something asks for it: the message was lost. */
const PATIENCE_MS = 25;
/** Between two questions where nobody answers. */
const RETRY_MS = 50;
/** The time of an answer on its way. */
const TRAVEL_MS = 200;

/** What one chassis has of something. */
export interface Standing {
  readonly name: string;
  readonly status: Status;
  readonly isHeld: boolean;
  readonly isApplied: boolean;
  /** When it answered; null when it did not. */
  readonly revision: number | null;
}

export interface Progress {
  readonly isReached: boolean;
  /** The one that was asked first, then the others in the order of `members`. */
  readonly chassis: readonly Standing[];
}

/** What a chassis is asked to have, and within what time. */
interface Wanted {
  readonly vector: Vector;
  readonly timeoutMs: number;
  readonly isDurable: boolean;
}

export interface ConvergenceOptions {
  readonly self: string;
  readonly store: Store;
  readonly transport: Transport;
  /** The other chassis, as they are now. */
  readonly members: () => readonly { readonly name: string; readonly status: Status }[];
  /** Resolves true when the workers run all that the store holds, false after the time is up. */
  readonly waitApplied: (timeoutMs: number) => Promise<boolean>;
  /** Fetches what a peer holds. */
  readonly want: (peer: string) => void;
  /** Milliseconds of a clock that never steps. */
  readonly now: () => number;
  readonly setTimer: SetTimer;
}

export class Convergence {
  readonly #options: ConvergenceOptions;
  readonly #unsubscribe: () => void;
  #isStopped = false;

  constructor(options: ConvergenceOptions) {
    const { self, transport } = options;
    this.#options = options;
    this.#unsubscribe = transport.subscribe(subjects.applied(self), (data, respond) => {
      const request = decode(data);
      if (request?.type === "applied-request") void this.#answer(request, respond);
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#unsubscribe();
  }

  /** Resolves when `level` is reached for what `vector` is about, or the time is up. */
  async reach(vector: Vector, level: Level, timeoutMs: number): Promise<Progress> {
    const { self, store, members } = this.#options;
    const others = members();
    const standings = new Map<string, AppliedReplyMessage>();
    let isAppliedHere = false;
    const isReached = (): boolean => {
      if (level === "quorum") {
        const running = [...standings.values()].filter(({ isApplied }) => isApplied).length;
        return (Number(isAppliedHere) + running) * 2 > others.length + 1;
      }
      return (
        isAppliedHere && (level === "local" || this.#waitedFor(others, standings).length === 0)
      );
    };
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (isReached()) resolve();
      };
      const here = this.#run(vector, timeoutMs).then(({ isRun }) => {
        isAppliedHere = isRun && (level !== "quorum" || store.flush());
        look();
      });
      const asked = level === "local" ? [] : others;
      const there = asked.map(async ({ name }) => {
        const request = { vector, timeoutMs, isDurable: level === "quorum" };
        await this.#ask(name, request, (reply) => standings.set(name, reply));
        look();
      });
      void Promise.all([here, ...there]).then(() => resolve());
    });
    const own = { isHeld: covers(store.vector, vector), isApplied: isAppliedHere };
    return {
      isReached: isReached(),
      chassis: [
        { name: self, status: "alive", ...own, revision: store.revision },
        ...others.map(({ name, status }) => {
          const { isHeld = false, isApplied = false, revision = null } = standings.get(name) ?? {};
          return { name, status, isHeld, isApplied, revision };
        }),
      ],
    };
  }

  /** Of `others`, who lives and does not run it yet. */
  #waitedFor(
    others: readonly { readonly name: string }[],
    standings: ReadonlyMap<string, AppliedReplyMessage>,
  ): readonly { readonly name: string }[] {
    return others.filter(({ name }) => !this.#isDead(name) && !standings.get(name)?.isApplied);
  }

  #isDead(name: string): boolean {
    return this.#options.members().find((member) => member.name === name)?.status === "dead";
  }

  /** Asks until the answer is yes, the chassis is dead, or the time is up. */
  async #ask(
    peer: string,
    { vector, timeoutMs, isDurable }: Wanted,
    onReply: (reply: AppliedReplyMessage) => void,
  ): Promise<void> {
    const { self, transport, now } = this.#options;
    const head = { type: "applied-request", from: self, vector } as const;
    const deadlineMs = now() + timeoutMs;
    while (!this.#isStopped && !this.#isDead(peer)) {
      const leftMs = Math.max(1, Math.min(APPLIED_TIMEOUT_MAX_MS, Math.ceil(deadlineMs - now())));
      const limits = isDurable ? { timeoutMs: leftMs, isDurable } : { timeoutMs: leftMs };
      const request = encode({ ...head, ...limits });
      try {
        const data = await transport.request(subjects.applied(peer), request, leftMs + TRAVEL_MS);
        const reply = decode(data);
        if (reply?.type === "applied-reply" && reply.from === peer) onReply(reply);
        if (reply?.type === "applied-reply" && reply.isApplied) return;
      } catch {
        // Nobody there, or nobody in time.
      }
      if (now() >= deadlineMs) return;
      await this.#sleep(RETRY_MS);
    }
  }

  async #answer(
    { from, vector, timeoutMs, isDurable }: AppliedRequestMessage,
    respond: (data: Uint8Array) => void,
  ): Promise<void> {
    const { self, store } = this.#options;
    const { isKnown, isRun } = await this.#run(vector, timeoutMs, from);
    if (this.#isStopped) return;
    const isHeld = isKnown && (isDurable !== true || store.flush());
    const isApplied = isHeld && isRun;
    const { revision } = store;
    respond(encode({ type: "applied-reply", from: self, isHeld, isApplied, revision }));
  }

  /**
   * Resolves when this chassis holds what `vector` is about and its workers run it, or the time is
   * up. What is missing is fetched from `peer`, else from those who wrote it.
   */
  async #run(
    vector: Vector,
    timeoutMs: number,
    peer?: string,
  ): Promise<{ readonly isKnown: boolean; readonly isRun: boolean }> {
    const { waitApplied, now } = this.#options;
    const deadlineMs = now() + timeoutMs;
    const isKnown = await this.#held(vector, timeoutMs, peer);
    const isRun = isKnown && (await waitApplied(Math.max(0, deadlineMs - now())));
    return { isKnown, isRun };
  }

  /** Resolves true when the store holds what `vector` is about, false after the time is up. */
  async #held(vector: Vector, timeoutMs: number, peer?: string): Promise<boolean> {
    const { store, members, want, now } = this.#options;
    const deadlineMs = now() + timeoutMs;
    const origins = members().filter(({ name }) => vector[name] !== undefined);
    const sources = peer === undefined ? origins.map(({ name }) => name) : [peer];
    while (!covers(store.vector, vector)) {
      const leftMs = deadlineMs - now();
      if (leftMs <= 0 || this.#isStopped) return false;
      if (await this.#isUnchanged(Math.min(PATIENCE_MS, leftMs)))
        for (const source of sources) want(source);
    }
    return true;
  }

  /** Resolves false when the store changes, true after the time is up. */
  #isUnchanged(timeoutMs: number): Promise<boolean> {
    const { store, setTimer } = this.#options;
    return new Promise((resolve) => {
      const end = (isUnchanged: boolean): void => {
        cancel();
        forget();
        resolve(isUnchanged);
      };
      const cancel = setTimer(() => end(true), timeoutMs);
      const forget = store.onChange(() => end(false));
    });
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.setTimer(resolve, delayMs);
    });
  }
}

/** Whether nothing that `wanted` is about is missing where the vector is `held`. */
export function covers(held: Vector, wanted: Vector): boolean {
  return Object.entries(wanted).every(([origin, clock]) => (held[origin] ?? 0) >= clock);
}
