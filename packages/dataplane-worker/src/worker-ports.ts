/**
 * The ports of one worker: opened here, or adopted from another worker; closed, or detached for
 * another one. Run by that worker, between two batches.
 */
import { adoptAfPacket, openAfPacket } from "@rhone/netio/af-packet";
import { adoptAfXdp, openAfXdp } from "@rhone/netio/af-xdp";
import type { Poller } from "@rhone/netio/doorbell";
import type { MovablePort, PortState } from "@rhone/netio/movable-port";
import type { Port, PortContext } from "@rhone/netio/port";
import { adoptTap, openTap } from "@rhone/netio/tap";
import { DEVICES_MAX } from "@rhone/rings/counters";
import type { Driver, Report } from "./plan.ts";

const OPENERS = { "af-packet": openAfPacket, "af-xdp": openAfXdp, tap: openTap } as const;

export class WorkerPorts {
  /** Those that are open, in no order. */
  readonly open: MovablePort[] = [];
  readonly byIndex: (MovablePort | null)[] = Array.from({ length: DEVICES_MAX }, () => null);
  /** Slots that came with ports, less those that went. */
  slotsMoved = 0;
  readonly #context: Omit<PortContext, "index">;
  readonly #poller: Poller;
  readonly #report: (report: Report) => void;
  /** Detached, and not passed on yet. */
  readonly #detached: { index: number; state: PortState | null }[] = [];

  constructor(
    context: Omit<PortContext, "index">,
    poller: Poller,
    report: (report: Report) => void,
  ) {
    this.#context = context;
    this.#poller = poller;
    this.#report = report;
  }

  /** Slots that the kernel has. */
  get lent(): number {
    return this.open.reduce((sum, { lent }) => sum + lent, 0);
  }

  indexOf(port: Port): number {
    return this.byIndex.indexOf(port as MovablePort);
  }

  openPort(index: number, device: string, driver: Driver): void {
    if (this.byIndex[index] !== null) this.closePort(index, "reopened");
    try {
      const port = OPENERS[driver](device, { index, ...this.#context });
      this.#add(index, port);
      this.#report({ type: "opened", index, state: port.state });
    } catch (error) {
      // The device is missing or refuses: the control thread decides when to try again.
      this.#report({ type: "refused", index, detail: (error as Error).message });
    }
  }

  adoptPort(index: number, state: PortState): void {
    const context = { index, ...this.#context };
    const port =
      state.driver === "af-packet"
        ? adoptAfPacket(state, context)
        : state.driver === "tap"
          ? adoptTap(state, context)
          : adoptAfXdp(state, context);
    this.slotsMoved += port.lent;
    this.#add(index, port);
  }

  closePort(index: number, detail: string): void {
    const port = this.#take(index);
    if (port === null) return;
    port.close();
    this.#report({ type: "closed", index, detail });
  }

  detachPort(index: number): void {
    const port = this.#take(index);
    if (port !== null) this.slotsMoved -= port.lent;
    this.#detached.push({ index, state: port?.detach() ?? null });
  }

  /** Sends the detached ports on their way. */
  passOn(): void {
    for (const { index, state } of this.#detached.splice(0)) {
      this.#report({ type: "detached", index, state });
    }
  }

  closeAll(): void {
    for (const port of this.open) port.close();
  }

  #add(index: number, port: MovablePort): void {
    this.byIndex[index] = port;
    this.open.push(port);
    this.#poller.add(...port.descriptors);
  }

  #take(index: number): MovablePort | null {
    const port = this.byIndex[index] ?? null;
    if (port === null) return null;
    this.#poller.remove(...port.descriptors);
    this.open.splice(this.open.indexOf(port), 1);
    this.byIndex[index] = null;
    return port;
  }
}
