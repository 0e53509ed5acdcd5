/**
 * The ports of one worker: opened here, or adopted from another worker; closed, or detached for
 * another one. Run by that worker, between two batches.
 */
import { adoptAfPacket, openAfPacket } from "@rhone/netio/af-packet";
import { type AfXdpOptions, adoptAfXdp, openAfXdp } from "@rhone/netio/af-xdp";
import type { Poller } from "@rhone/netio/doorbell";
import type { MovablePort, PortState } from "@rhone/netio/movable-port";
import type { Port, PortContext } from "@rhone/netio/port";
import { adoptTap, openTapQueues } from "@rhone/netio/tap";
import type { TunnelQueues } from "@rhone/netio/tunnel-program";
import { DEVICES_MAX, TUNNEL_DEVICE } from "@rhone/rings/counters";
import type { Driver, Report } from "./plan.ts";
import { queueOfIndex } from "./tunnel-queues.ts";

/** Entries of the rings of all the tunnel's queues together, and of each at least. */
const TUNNEL_RING_SIZE = 2048;
const TUNNEL_RING_MIN = 256;

/** What ports need of the worker. */
export interface PortsContext extends Omit<PortContext, "index"> {
  /** The tunnel's queues, and bytes of outer headers; null: it has none. */
  readonly tunnel: { readonly queues: TunnelQueues; readonly outerSize: number } | null;
  /** Queues that a device gets which can have as many as are wanted. */
  readonly queueCount: number;
}

export class WorkerPorts {
  /** Those that are open, in no order: of devices, and of the tunnel's queues. */
  readonly open: MovablePort[] = [];
  readonly tunnel: MovablePort[] = [];
  readonly byIndex: (MovablePort | null)[] = Array.from({ length: DEVICES_MAX }, () => null);
  /** Slots that came with ports, less those that went. */
  slotsMoved = 0;
  readonly #context: PortsContext;
  readonly #poller: Poller;
  readonly #report: (report: Report) => void;
  /** Detached, and not passed on yet. */
  readonly #detached: { index: number; state: PortState | null }[] = [];

  constructor(context: PortsContext, poller: Poller, report: (report: Report) => void) {
    this.#context = context;
    this.#poller = poller;
    this.#report = report;
  }

  /** Slots that the kernel has. */
  get lent(): number {
    return [...this.open, ...this.tunnel].reduce((sum, { lent }) => sum + lent, 0);
  }

  indexOf(port: Port): number {
    return this.byIndex.indexOf(port as MovablePort);
  }

  openPort(index: number, device: string, driver: Driver): void {
    if (this.byIndex[index] !== null) this.closePort(index, "reopened");
    try {
      const { port, further } = this.#open(index, device, driver);
      this.#add(index, port);
      this.#report({ type: "opened", index, state: port.state, further });
    } catch (error) {
      // The device is missing or refuses: the control thread decides when to try again.
      this.#report({ type: "refused", index, detail: (error as Error).message });
    }
  }

  adoptPort(index: number, state: PortState): void {
    const context = this.#contextOf(index);
    const port =
      state.driver === "af-packet"
        ? adoptAfPacket(state, context)
        : state.driver === "tap"
          ? adoptTap(state, context)
          : adoptAfXdp(state, context);
    // Not what the port says: it has lent some of our own already.
    if (state.driver === "af-xdp") this.slotsMoved += state.lent.length;
    this.#add(index, port);
    this.#report({ type: "adopted", index });
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
    for (const port of [...this.open, ...this.tunnel]) port.close();
  }

  #open(index: number, device: string, driver: Driver): Opened {
    const context = this.#contextOf(index);
    const queue = this.#queueOf(index);
    if (queue >= 0) return alone(openAfXdp(device, context, this.#queueOptions(queue)));
    switch (driver) {
      case "af-packet":
        return alone(openAfPacket(device, context));
      case "af-xdp":
        return alone(openAfXdp(device, context));
      case "tap":
        return openTapQueues(device, context, this.#context.queueCount);
    }
  }

  /** The tunnel's queue of that index, -1 when it is a device's. */
  #queueOf(index: number): number {
    return queueOfIndex(index, this.#context.tunnel?.queues.count ?? 0);
  }

  #contextOf(index: number): PortContext {
    const { allocator, counters, tunnel } = this.#context;
    if (tunnel === null || this.#queueOf(index) < 0) return { index, allocator, counters };
    return { index: TUNNEL_DEVICE, allocator, counters, outerSize: tunnel.outerSize };
  }

  #queueOptions(queue: number): AfXdpOptions {
    const { count, socketMap } = this.#context.tunnel!.queues;
    const share = 2 ** Math.floor(Math.log2(TUNNEL_RING_SIZE / count));
    return { queue, socketMap, ringSize: Math.max(TUNNEL_RING_MIN, share) };
  }

  #listOf(index: number): MovablePort[] {
    return this.#queueOf(index) < 0 ? this.open : this.tunnel;
  }

  #add(index: number, port: MovablePort): void {
    this.byIndex[index] = port;
    this.#listOf(index).push(port);
    this.#poller.add(...port.descriptors);
  }

  #take(index: number): MovablePort | null {
    const port = this.byIndex[index] ?? null;
    if (port === null) return null;
    this.#poller.remove(...port.descriptors);
    const list = this.#listOf(index);
    list.splice(list.indexOf(port), 1);
    this.byIndex[index] = null;
    return port;
  }
}

interface Opened {
  readonly port: MovablePort;
  /** Further queues of its device, which are ports of their own. */
  readonly further: readonly PortState[];
}

function alone(port: MovablePort): Opened {
  return { port, further: [] };
}
