/**
 * One chassis of a lab: its configuration file, its process in its namespace, its health. A chassis
 * that ends by itself is started again.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { stringify } from "yaml";
import type { Lab } from "./lab-file.ts";
import { type Driver, namespaceName, type TunnelDriver } from "./namespaces.ts";
import { RestClient } from "./rest-client.ts";
import { runDirectory } from "./run-directory.ts";
import { type Runtime, runtimeCommand, scriptPath } from "./runtime.ts";
import { EXIT_FAILED, UserError } from "./user-error.ts";

const MAIN = "../../chassis/src/main.ts";
const API_PORT = 6640; // Inside the chassis' namespace.
const READY_TIMEOUT_MS = 30_000;
const POLL_MS = 20;
const STOP_TIMEOUT_MS = 5000;
const RESTART_DELAY_MS = 500;
const TAIL_LINES = 15;

/** From how many chassis on there are hubs, and how many of those. */
export interface NatsOptions {
  readonly meshMax: number;
  readonly hubCount: number;
}

export interface ChassisOptions {
  readonly prefix: string;
  readonly runtime: Runtime;
  readonly driver: Driver;
  readonly tunnelDriver: TunnelDriver;
  readonly workers: number;
  readonly connections: number | undefined;
  readonly nats: NatsOptions | undefined;
  /** Hears what happened to the process, one sentence. */
  readonly onEvent: (text: string) => void;
}

export class ChassisProcess {
  readonly name: string;
  readonly underlay: string;
  readonly namespace: string;
  readonly directory: string;
  readonly client: RestClient;
  readonly #options: ChassisOptions;
  #child: ChildProcess | null = null;
  #isWanted = false;

  constructor(self: Lab["chassis"][number], options: ChassisOptions) {
    this.name = self.name;
    this.underlay = self.underlay;
    this.namespace = namespaceName(options.prefix, self.name);
    this.directory = `${runDirectory(options.prefix)}/${self.name}`;
    this.client = new RestClient(`unix:${this.socketPath}`);
    this.#options = options;
    // The chassis' nats-server runs as another user and must pass through.
    mkdirSync(this.directory, { recursive: true, mode: 0o755 });
    writeFileSync(this.#configPath, stringify(this.#config()), { mode: 0o600 });
  }

  get socketPath(): string {
    return `${this.directory}/api.sock`;
  }

  get dataDirectory(): string {
    return `${this.directory}/data`;
  }

  get logPath(): string {
    return `${this.directory}/log`;
  }

  /** undefined while it does not run. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process; `ready` says when it works. */
  start(): void {
    this.#isWanted = true;
    const output = openSync(this.#outputPath, "a");
    const command = [...runtimeCommand(this.#options.runtime), scriptPath(MAIN)];
    const argv = ["netns", "exec", this.namespace, ...command, "--config", this.#configPath];
    // In a process group of its own: Ctrl-C is for the lab, which then ends the chassis in order.
    const child = spawn("ip", argv, { detached: true, stdio: ["ignore", output, output] });
    closeSync(output);
    this.#child = child;
    child.on("exit", (code, signal) => {
      if (this.#child === child) this.#onExit(signal ?? `exit status ${code}`);
    });
  }

  /** Resolves when the chassis is healthy. Throws UserError with what it said when it is not. */
  async ready(timeoutMs = READY_TIMEOUT_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    let last = "it never answered";
    while (performance.now() < deadline) {
      if (this.#child === null) throw this.#failure("ended before it was ready");
      try {
        const { status, body } = await this.client.request("GET", "/healthz");
        if (status === 200) return;
        last = JSON.stringify(body);
      } catch (error) {
        last = (error as Error).message; // Not listening yet.
      }
      await sleep(POLL_MS);
    }
    throw this.#failure(`was not healthy after ${timeoutMs} ms (${last})`);
  }

  /** Sends the process a signal; a chassis that it ends comes back by itself. */
  kill(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Ends the process in order, and by force when it takes too long. */
  async stop(): Promise<void> {
    this.#isWanted = false;
    const child = this.#child;
    if (child === null) return;
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => {
      this.#options.onEvent(`chassis ${this.name} did not end on SIGTERM and is killed`);
      child.kill("SIGKILL");
    }, STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(timer);
  }

  #onExit(how: string): void {
    const { onEvent } = this.#options;
    this.#child = null;
    if (!this.#isWanted) return;
    onEvent(`chassis ${this.name} ended (${how}) and is started again\n${this.#tail()}`.trim());
    setTimeout(() => {
      if (this.#isWanted && this.#child === null) this.start();
    }, RESTART_DELAY_MS).unref();
  }

  #failure(what: string): UserError {
    const said = this.#tail() || "it printed nothing";
    return new UserError(`chassis ${this.name} ${what}:\n${said}`, EXIT_FAILED);
  }

  #tail(): string {
    const lines = [this.#outputPath, this.logPath].flatMap((path) => tailOf(path));
    return lines.map((line) => `  ${line}`).join("\n");
  }

  get #configPath(): string {
    return `${this.directory}/chassis.yaml`;
  }

  /** What the process prints; its log is a file of its own. */
  get #outputPath(): string {
    return `${this.directory}/output`;
  }

  #config(): object {
    return {
      name: this.name,
      underlay: this.underlay,
      dataDirectory: this.dataDirectory,
      workers: this.#options.workers,
      connections: this.#options.connections,
      driver: this.#options.driver,
      tunnelDriver: this.#options.tunnelDriver,
      nats: this.#options.nats,
      api: { listen: `127.0.0.1:${API_PORT}`, socket: this.socketPath },
      log: { level: "info", file: this.logPath },
    };
  }
}

function tailOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8").trim().split("\n").slice(-TAIL_LINES).filter(Boolean);
  } catch {
    return []; // It did not come to that.
  }
}
