/**
 * The threads of the workers: piscina owns them, and each runs one never-ending task. Which workers
 * there should be and what they have is for others to say.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { Command, Report, SlotAccount, WorkerPlan } from "@rhone/dataplane-worker/plan";
import { ringDoorbell } from "@rhone/netio/doorbell";
import type { TunnelQueues } from "@rhone/netio/tunnel-program";
import { Piscina } from "piscina";
import type { DataplaneMemory } from "./dataplane-memory.ts";

/** How often it is looked whether the workers still turn, and how many looks in vain are a hang. */
const WATCH_MS = 1000;
const STALLS_MAX = 5;

/** What a worker needs to start, beside the memory. */
export type Beginning = Pick<WorkerPlan, "slots" | "tables" | "allotment" | "paths">;

export interface ThreadEvents {
  onReport(worker: number, report: Report): void;
  /** A worker ended: as it was told to, or with an error. */
  onEnded(worker: number, error: Error | null): void;
}

interface Thread {
  readonly mailbox: MessagePort;
  /** Ends the thread. */
  readonly end: AbortController;
  ended: Promise<void>;
  /** Why it ended, as far as it could say so itself. */
  error: Error | null;
  /** Whether it has come to its loop. */
  isStarted: boolean;
  /** Whether it was told to stop. */
  isLeaving: boolean;
  onAccount: ((slots: SlotAccount | null) => void)[];
  /** Loops of the worker when it was looked at last, and how often they had not grown. */
  loops: number;
  stalls: number;
}

export class WorkerThreads {
  readonly #memory: DataplaneMemory;
  readonly #underlay: { readonly address: string; readonly port: number };
  readonly #events: ThreadEvents;
  readonly #pool: Piscina;
  readonly #threads = new Map<number, Thread>();
  readonly #watch: NodeJS.Timeout;
  #accounts = 0;

  /** `count` threads are kept ready. */
  constructor(
    memory: DataplaneMemory,
    count: number,
    underlay: { readonly address: string; readonly port: number },
    events: ThreadEvents,
  ) {
    this.#memory = memory;
    this.#underlay = underlay;
    this.#events = events;
    this.#pool = new Piscina({
      filename: import.meta.resolve("@rhone/dataplane-worker/worker"),
      minThreads: count,
      maxThreads: memory.workersMax,
      idleTimeout: Number.POSITIVE_INFINITY,
    });
    // A thread that dies between two tasks is nothing to us: there will be another one.
    this.#pool.on("error", () => {});
    this.#watch = setInterval(() => this.#endHanging(), WATCH_MS).unref();
  }

  /** Workers whose loop runs, in ascending order; without those that were told to stop. */
  get running(): number[] {
    return [...this.#threads]
      .filter(([, { isStarted, isLeaving }]) => isStarted && !isLeaving)
      .map(([worker]) => worker)
      .sort((a, b) => a - b);
  }

  /** Workers that have a thread and have not come to their loop. */
  get starting(): number[] {
    return [...this.#threads].filter(([, { isStarted }]) => !isStarted).map(([worker]) => worker);
  }

  /** Whether there is a thread, in whatever state. */
  isPresent(worker: number): boolean {
    return this.#threads.has(worker);
  }

  start(worker: number, beginning: Beginning): void {
    const memory = this.#memory;
    const { port1, port2 } = new MessageChannel();
    const plan: WorkerPlan = {
      ...beginning,
      ...{ worker, workersMax: memory.workersMax, pool: memory.pool },
      ...{ rings: memory.rings, returns: memory.returns, connections: memory.connections },
      ...{ fragments: memory.fragments, begun: memory.begunBuffer },
      ...{ statuses: memory.statusBuffers, doorbells: memory.doorbells },
      knowledge: memory.knowledgeBuffer,
      pickUp: memory.pickUpBuffer,
      fences: memory.fencesBuffer,
      queues: memory.queuesBuffer,
      counters: memory.counterBuffers[worker]!,
      ruleCounters: memory.ruleCounterBuffers[worker]!,
      clockOriginMs: performance.timeOrigin,
      underlay: {
        ...this.#underlay,
        ...{ sockets: memory.sockets, senders: memory.senders[worker]! },
        queues: queuesOf(memory),
      },
      mailbox: port2,
    };
    const thread: Thread = {
      ...{ mailbox: port1, end: new AbortController(), ended: Promise.resolve(), error: null },
      ...{ isStarted: false, isLeaving: false, onAccount: [], loops: 0, stalls: 0 },
    };
    this.#threads.set(worker, thread);
    port1.on("message", (report: Report) => this.#hear(worker, thread, report));
    thread.ended = this.#run(worker, thread, plan);
  }

  /** The message first, then the count that announces it, then the bell for one that sleeps. */
  post(worker: number, command: Command): void {
    this.#threads.get(worker)?.mailbox.postMessage(command);
    this.#memory.statuses[worker]!.countMail();
    this.#wake(worker);
  }

  /** For what they find in shared memory and nobody has rung for. */
  wakeAll(): void {
    for (const worker of this.#threads.keys()) this.#wake(worker);
  }

  postAll(command: Command): void {
    for (const worker of this.#threads.keys()) this.post(worker, command);
  }

  /** Tells a worker to end. */
  dismiss(worker: number): void {
    this.#threads.get(worker)!.isLeaving = true;
    this.post(worker, { type: "stop" });
  }

  /** Where the slots of the running workers are; each has finished a batch since the call. */
  async accounts(): Promise<Map<number, SlotAccount>> {
    const number = ++this.#accounts;
    const asked = this.running.map(async (worker) => {
      const heard = Promise.withResolvers<SlotAccount | null>();
      this.#threads.get(worker)!.onAccount.push(heard.resolve);
      this.post(worker, { type: "account", number });
      return [worker, await heard.promise] as const;
    });
    const answers = await Promise.all(asked);
    return new Map(answers.flatMap(([worker, slots]) => (slots === null ? [] : [[worker, slots]])));
  }

  /** Ends every worker; resolves when their threads are gone. */
  async stop(): Promise<void> {
    clearInterval(this.#watch);
    const threads = [...this.#threads];
    for (const [worker] of threads) this.dismiss(worker);
    await Promise.all(threads.map(([, { ended }]) => ended));
    await this.#pool.destroy();
  }

  /**
   * Ends the threads of workers that neither sleep nor get on. Looks are counted, not time: when
   * the whole machine stood still, the first ones after it find nothing.
   */
  #endHanging(): void {
    for (const [worker, thread] of this.#threads) {
      const { loops } = this.#memory.counters[worker]!.worker();
      const isAlive = loops !== thread.loops || this.#memory.statuses[worker]!.isSleeping();
      thread.stalls = isAlive || !thread.isStarted ? 0 : thread.stalls + 1;
      thread.loops = loops;
      if (thread.stalls < STALLS_MAX) continue;
      thread.error = new Error(`hung: not a loop in ${(STALLS_MAX * WATCH_MS) / 1000} seconds`);
      thread.end.abort();
    }
  }

  #wake(worker: number): void {
    const isSleeping = this.#memory.statuses[worker]!.isSleeping();
    if (isSleeping) ringDoorbell(this.#memory.doorbells[worker]!);
  }

  async #run(worker: number, thread: Thread, plan: WorkerPlan): Promise<void> {
    const { signal } = thread.end;
    try {
      // piscina derives its type from the browser's postMessage, which the page's types bring in.
      await this.#pool.run(plan, { signal, transferList: [plan.mailbox] as never });
    } catch (error) {
      if (!signal.aborted) thread.error = error as Error;
    }
    this.#hearLast(worker, thread);
    this.#threads.delete(worker);
    this.#memory.statuses[worker]!.setRunning(false);
    this.#memory.statuses[worker]!.setSleeping(false);
    thread.mailbox.close();
    for (const answer of thread.onAccount) answer(null);
    this.#events.onEnded(worker, thread.error);
  }

  /** What it said last is heard before its end is: ports that it passed on come before that. */
  #hearLast(worker: number, thread: Thread): void {
    for (;;) {
      const last = receiveMessageOnPort(thread.mailbox);
      if (last === undefined) return;
      this.#hear(worker, thread, last.message as Report);
    }
  }

  #hear(worker: number, thread: Thread, report: Report): void {
    switch (report.type) {
      case "account": // They are asked for and given in the same order.
        thread.onAccount.shift()?.(report.slots);
        return;
      case "ended":
        thread.error = report.error;
        thread.end.abort();
        return;
      case "started":
        thread.isStarted = true;
    }
    this.#events.onReport(worker, report);
  }
}

/** Of the program what another thread can be told. */
function queuesOf({ tunnelProgram }: DataplaneMemory): TunnelQueues | null {
  if (tunnelProgram === null) return null;
  const { device, count, socketMap } = tunnelProgram;
  return { device, count, socketMap };
}
