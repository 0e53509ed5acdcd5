/**
 * The nats-server of one chassis: a child process that is watched, and started again when it ends
 * or hangs. Runs on the control thread, on Node and on Deno.
 *
 *   start → starting → running → (ended or hung) → waiting → starting → …
 *
 * It must be started from a thread that lives as long as the chassis: the kernel kills the child
 * with the thread that started it (nats-config.ts).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve as resolvePath } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import {
  assertReachable,
  findBinary,
  launchCommand,
  type NatsServerConfig,
  renderConfig,
  textOf,
} from "./nats-config.ts";
import { type Endpoint, needsRestart, type Place } from "./nats-layout.ts";
import { connectProbe, type Probe } from "./nats-probe.ts";
import {
  clientTls,
  type NatsIdentity,
  removeTlsFiles,
  tlsFiles,
  writeTlsFiles,
} from "./nats-tls.ts";
import { assertPortIsFree } from "./port-holder.ts";

const START_TIMEOUT_MS = 5000;
const START_POLL_MS = 25;
const PROBE_INTERVAL_MS = 250;
/** A hung server is found after four of them. Counted, not timed: we may have been stalled. */
const UNANSWERED_MAX = 4;
const BACK_OFF_MIN_MS = 50;
const BACK_OFF_MAX_MS = 5000;
/** A server that ran this long starts the back-off anew. */
const STABLE_MS = 10_000;
const TERMINATE_TIMEOUT_MS = 2000;
const LOG_LINES_MAX = 20;

export interface NatsServerOptions extends Omit<NatsServerConfig, "tls" | "renewals"> {
  /** Where the configuration file is written; made if it does not exist. */
  readonly directory: string;
  /** Who the chassis is now; without it clients and other servers are not checked. */
  readonly identity?: () => NatsIdentity;
}

export interface NatsServerState {
  readonly status: "stopped" | "starting" | "running" | "waiting";
  /** Of the child; null while there is none. */
  readonly pid: number | null;
  /** How often it was started after the first time. */
  readonly restartCount: number;
  /** Why it is not running, for an operator; "" when it is or was told to stop. */
  readonly reason: string;
}

interface Child {
  readonly process: ChildProcess;
  /** Resolves with the reason when it has ended. */
  readonly ended: Promise<string>;
  /** The reason, once it has. */
  endedWith: string | null;
}

export class NatsServer {
  readonly #options: NatsServerOptions;
  readonly #configFile: string;
  readonly #listeners = new Set<(state: NatsServerState) => void>();
  readonly #stopping = new AbortController();
  #state: NatsServerState = { status: "stopped", pid: null, restartCount: 0, reason: "" };
  #supervision: Promise<void> | null = null;
  #child: Child | null = null;
  /** Where the child is to be. */
  #place: Place;
  /** Where it began, with what it has taken in since. */
  #childPlace: Place;
  /** How often the route to each host and port was given up for a new one. */
  readonly #renewals = new Map<string, number>();
  /** Whether the child began with an older configuration than there is now. */
  #isStale = false;
  /** Whether the child has to make way for one that begins elsewhere. */
  #isMoving = false;
  /** Ends the pause between two looks at the child. */
  #wake: () => void = () => {};

  constructor(options: NatsServerOptions) {
    this.#options = options;
    this.#place = options.place;
    this.#childPlace = options.place;
    this.#configFile = join(resolvePath(options.directory), `nats-server-${options.name}.conf`);
  }

  get state(): NatsServerState {
    return this.#state;
  }

  /** Calls `listener` with each new state; returns what ends that. */
  onState(listener: (state: NatsServerState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Starts the server and resolves when it answers. Rejects, with nothing left behind, when the
   * first start fails: no such program, port taken. Later failures are tried again for ever.
   */
  async start(): Promise<void> {
    if (this.#supervision !== null) throw new Error("a nats-server is started only once");
    const attempt = Promise.withResolvers<void>();
    this.#supervision = this.#supervise(attempt);
    await attempt.promise;
  }

  /**
   * Lets the server go on at this place and with the chassis' newest certificate. It takes in what
   * it can while it runs, and is started again for the rest.
   */
  reload(place: Place = this.#place): void {
    this.#place = place;
    // Before it answers, the signal would end it.
    this.#isStale = this.#state.status === "starting";
    if (this.#state.status !== "running" || this.#isStopping) return; // The start will see it.
    if (needsRestart(this.#childPlace, place)) {
      this.#isMoving = true;
      this.#wake();
      return;
    }
    // With another list of hubs it would refuse all of the configuration.
    if (place.role !== "leaf") this.#childPlace = place;
    this.#writeConfig();
    signal(this.#child, "SIGHUP");
  }

  /** Gives up the routes to these, however well they seem to be, and begins new ones. */
  renew(routes: readonly Endpoint[]): void {
    for (const route of routes.map(textOf)) {
      this.#renewals.set(route, (this.#renewals.get(route) ?? 0) + 1);
    }
    this.reload();
  }

  /** Ends the server, gently at first; resolves when it is gone. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    await this.#supervision;
  }

  async #supervise(firstAttempt: PromiseWithResolvers<void>): Promise<void> {
    let backOffMs = BACK_OFF_MIN_MS;
    let isFirst = true;
    while (!this.#isStopping) {
      let reason: string;
      const startedMs = performance.now();
      try {
        const { child, probe } = await this.#launch();
        firstAttempt.resolve();
        isFirst = false;
        reason = await this.#watch(child, probe);
      } catch (error) {
        reason = (error as Error).message;
        await this.#end();
        if (isFirst) {
          this.#cleanUp();
          firstAttempt.reject(error);
          return;
        }
      }
      if (this.#isStopping) break;
      if (this.#isMoving) {
        await this.#end();
        this.#setState({ restartCount: this.#state.restartCount + 1 });
        continue;
      }
      if (performance.now() - startedMs > STABLE_MS) backOffMs = BACK_OFF_MIN_MS;
      this.#setState({ status: "waiting", pid: null, reason });
      await this.#pause(backOffMs);
      backOffMs = Math.min(backOffMs * 2, BACK_OFF_MAX_MS);
      this.#setState({ restartCount: this.#state.restartCount + 1 });
    }
    await this.#end();
    this.#cleanUp();
    firstAttempt.reject(new Error("the nats-server was stopped before its start"));
  }

  /** Starts a child; resolves with a connection to it when it answers. */
  async #launch(): Promise<{ child: Child; probe: Probe }> {
    const { clientPort, clusterPort, leafPort, monitorPort, underlay } = this.#options;
    this.#setState({ status: "starting", pid: null });
    this.#settle();
    const command = this.#prepare();
    await assertPortIsFree("127.0.0.1", clientPort);
    const { role } = this.#childPlace;
    if (role !== "leaf") await assertPortIsFree(underlay, clusterPort);
    if (role === "hub") await assertPortIsFree(underlay, leafPort);
    if (monitorPort !== undefined) await assertPortIsFree("127.0.0.1", monitorPort);
    const child = startChild(command);
    this.#child = child;
    this.#setState({ pid: child.process.pid ?? null });
    const deadlineMs = performance.now() + START_TIMEOUT_MS;
    while (performance.now() < deadlineMs && !this.#isStopping) {
      if (child.endedWith !== null) throw new Error(child.endedWith);
      const identity = this.#options.identity?.();
      const tls = identity === undefined ? undefined : clientTls(identity);
      const probe = await connectProbe(clientPort, PROBE_INTERVAL_MS, tls);
      if (probe !== null) return { child, probe };
      await this.#pause(START_POLL_MS);
    }
    if (this.#isStopping) throw new Error("the nats-server was stopped before it answered");
    throw new Error(`nats-server did not answer within ${START_TIMEOUT_MS} ms of its start`);
  }

  /** What is wanted from now on needs another child, or a reload. */
  #settle(): void {
    this.#childPlace = this.#place;
    this.#isStale = false;
    this.#isMoving = false;
  }

  /** Writes the configuration; returns the command line. */
  #prepare(): string[] {
    const binary = findBinary();
    const directory = resolvePath(this.#options.directory);
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    this.#writeConfig();
    const command = launchCommand(binary, ["-c", this.#configFile]);
    if (command.some((argument) => argument.startsWith("--reuid="))) assertReachable(directory);
    return command;
  }

  #writeConfig(): void {
    const { identity, ...options } = this.#options;
    const files = this.#tlsFiles;
    if (identity !== undefined) writeTlsFiles(files, identity());
    const tls = identity === undefined ? {} : { tls: files };
    const renewals = this.#renewals;
    const text = renderConfig({ ...options, ...tls, renewals, place: this.#childPlace });
    writeFileSync(this.#configFile, text, { mode: 0o644 });
  }

  get #tlsFiles() {
    return tlsFiles(resolvePath(this.#options.directory), this.#options.name);
  }

  /** Resolves with the reason when the child has ended, by itself or because it hung. */
  async #watch(child: Child, probe: Probe): Promise<string> {
    this.#setState({ status: "running", reason: "" });
    if (this.#isStale) this.reload();
    void child.ended.then(() => this.#wake());
    let unansweredCount = 0;
    try {
      while (child.endedWith === null && !this.#isStopping && !this.#isMoving) {
        if (unansweredCount >= UNANSWERED_MAX) {
          await this.#kill(child);
          return `nats-server answered none of ${UNANSWERED_MAX} pings`;
        }
        probe.ping();
        await this.#rest();
        unansweredCount = probe.isAnswered ? 0 : unansweredCount + 1;
      }
    } finally {
      probe.close();
    }
    return child.endedWith ?? "";
  }

  async #kill(child: Child): Promise<void> {
    signal(child, "SIGKILL");
    await child.ended;
  }

  async #end(): Promise<void> {
    const child = this.#child;
    if (child === null || child.endedWith !== null) return;
    signal(child, "SIGTERM");
    const timeout = new AbortController();
    const patience = sleep(TERMINATE_TIMEOUT_MS, undefined, { signal: timeout.signal });
    await Promise.race([child.ended, patience]);
    timeout.abort();
    await patience.catch(() => {});
    if (child.endedWith === null) await this.#kill(child);
  }

  #cleanUp(): void {
    rmSync(this.#configFile, { force: true });
    if (this.#options.identity !== undefined) removeTlsFiles(this.#tlsFiles);
    this.#setState({ status: "stopped", pid: null, reason: "" });
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /**
   * Until the next look. A race with the child's end would do the same, and leave something at that
   * promise four times a second for as long as the child lives.
   */
  async #rest(): Promise<void> {
    const early = new AbortController();
    this.#wake = () => early.abort();
    await sleep(PROBE_INTERVAL_MS, undefined, { signal: early.signal }).catch(() => {});
  }

  /** Ends early on `stop`. */
  async #pause(delayMs: number): Promise<void> {
    await sleep(delayMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }

  #setState(change: Partial<NatsServerState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener(this.#state);
  }
}

/** Deno's ChildProcess sends one signal in its life; the process takes as many as it gets. */
function signal(child: Child | null, name: NodeJS.Signals): void {
  const pid = child?.process.pid;
  if (pid === undefined || child === null || child.endedWith !== null) return;
  try {
    process.kill(pid, name);
  } catch {
    // It has ended, and we are about to hear of it.
  }
}

function startChild(command: readonly string[]): Child {
  const [program = "", ...args] = command;
  const spawned = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], env: process.env });
  const log: string[] = [];
  spawned.stderr?.setEncoding("utf8");
  spawned.stderr?.on("data", (text: string) => {
    log.push(...text.split("\n").filter((line) => line.trim() !== ""));
    log.splice(0, log.length - LOG_LINES_MAX);
  });
  const ended = Promise.withResolvers<string>();
  const child: Child = { process: spawned, ended: ended.promise, endedWith: null };
  const finish = (what: string): void => {
    // Fatal and error lines say more than what the shutdown logged after them.
    const line = log.findLast((text) => /\[(FTL|ERR)\]|^\S+: /.test(text));
    child.endedWith ??= line === undefined ? what : `${what}: ${line}`;
    ended.resolve(child.endedWith);
  };
  spawned.once("error", (error) => finish(`cannot start ${program} (${error.message})`));
  spawned.once("close", (code, signal) => {
    finish(`nats-server ended with ${signal === null ? `status ${code}` : `signal ${signal}`}`);
  });
  return child;
}
