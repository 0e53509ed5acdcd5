/**
 * The tunnel over AF_XDP as the control thread sees it: which worker has which queue of the
 * underlay device, and by which paths the peers are reached. What it cannot have goes by the
 * kernel's sockets meanwhile, so that nothing here is ever fatal once the chassis runs.
 */
import type { Report } from "@rhone/dataplane-worker/plan";
import { indexOfQueue } from "@rhone/dataplane-worker/tunnel-queues";
import type { TunnelProgram } from "@rhone/netio/tunnel-program";
import type { Address } from "@rhone/wire/address";
import type { Logger } from "pino";
import { type DeviceOpener, RETRY_MS } from "./devices.ts";
import { PathFinder } from "./path-finder.ts";

/** How often it is looked whether paths have changed: a read that finds nothing. */
const LOOK_MS = 100;

export interface DirectTunnelOptions {
  readonly program: TunnelProgram;
  readonly underlay: Address;
  readonly opener: DeviceOpener;
  /** Underlay addresses of the other chassis, as they are now. */
  readonly peers: () => readonly string[];
  readonly publish: (image: SharedArrayBuffer) => void;
  readonly log: Logger;
}

interface QueueRecord {
  readonly queue: number;
  readonly index: number;
  phase: "opening" | "up" | "refused";
  detail: string;
}

export class DirectTunnel {
  readonly #options: DirectTunnelOptions;
  readonly #queues: readonly QueueRecord[];
  readonly #paths: PathFinder;
  readonly #timer: NodeJS.Timeout;
  #retryAtMs = 0;

  /** Has every queue opened, and follows the paths from now on. */
  constructor(options: DirectTunnelOptions) {
    const { program, underlay, peers, publish, log } = options;
    this.#options = options;
    this.#queues = Array.from({ length: program.count }, (_, queue) => {
      return { queue, index: indexOfQueue(queue), phase: "opening", detail: "" };
    });
    this.#paths = new PathFinder({
      ...{ underlay, device: program.link.index, peers, publish },
      onFailure: (error) => log.warn({ err: error }, "cannot ask the kernel for paths"),
    });
    for (const record of this.#queues) this.#open(record);
    this.#timer = setInterval(() => this.#look(performance.now()), LOOK_MS);
  }

  /** Takes in what a worker says. */
  report(report: Report): void {
    const record = "index" in report && this.#queues.find(({ index }) => index === report.index);
    if (record === undefined || record === false) return;
    const before = `${record.phase} ${record.detail}`;
    if (report.type === "opened") Object.assign(record, { phase: "up", detail: "" });
    if (report.type === "refused" || report.type === "closed") {
      Object.assign(record, { phase: "refused", detail: report.detail });
    }
    const { queue, phase, detail } = record;
    if (before === `${phase} ${detail}`) return;
    const { device } = this.#options.program;
    this.#options.log.info({ device, queue, phase, detail }, "tunnel queue changed");
  }

  /** Names of the queues that a worker has. */
  queuesOf(worker: number): string[] {
    const { program, opener } = this.#options;
    const own = this.#queues.filter(({ index }) => opener.workerOf(index) === worker);
    return own.map(({ queue }) => `${program.device} queue ${queue}`);
  }

  /** For the operator: whether everything is as wanted, and how it is. */
  check(): { readonly ok: boolean; readonly detail: string } {
    const { device, isNative } = this.#options.program;
    if (!this.#paths.isDeviceThere) {
      const remedy = "restart the chassis to use the one that came in its place";
      return {
        ok: false,
        detail: `the device ${device} is gone; all goes by UDP sockets; ${remedy}`,
      };
    }
    const missing = this.#queues.filter(({ phase }) => phase !== "up");
    const { found, wanted } = this.#paths.reached;
    const up = this.#queues.length - missing.length;
    const reasons = missing.map(({ queue, phase, detail }) => {
      return `queue ${queue} is not: ${detail === "" ? phase : detail}`;
    });
    const mode = isNative ? "AF_XDP" : "AF_XDP without its driver's help";
    const queues = `${up} of ${this.#queues.length} queues of ${device} by ${mode}`;
    const peers = `${found} of ${wanted} peers reached by them, the others by UDP sockets`;
    return { ok: missing.length === 0, detail: [queues, peers, ...reasons].join("; ") };
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#paths.close();
  }

  #look(nowMs: number): void {
    this.#paths.look(nowMs);
    if (nowMs < this.#retryAtMs) return;
    this.#retryAtMs = nowMs + RETRY_MS;
    for (const record of this.#queues) if (record.phase === "refused") this.#open(record);
  }

  /** A reason stays until it is another one. */
  #open(record: QueueRecord): void {
    const { opener, program } = this.#options;
    record.phase = "opening";
    opener.openDevice(record.index, program.device, "af-xdp");
  }
}
