/**
 * Ports that change worker without being closed: sockets and mappings belong to the process, so
 * another thread goes on with them, and what waits in the kernel meanwhile stays there.
 */
import { libc } from "./native.ts";
import type { Port } from "./port.ts";

/** A mapped ring of an AF_XDP socket. */
export interface RingState {
  readonly address: bigint;
  readonly size: bigint;
  readonly offsets: {
    readonly producer: number;
    readonly consumer: number;
    readonly entries: number;
    readonly flags: number;
  };
  readonly count: number;
  readonly entrySize: number;
  /** The counter of our side. */
  readonly ours: number;
}

/** A socket of a port over AF_XDP, and the queue that it serves. */
export interface XdpQueueState {
  readonly queue: number;
  readonly descriptor: number;
  readonly rings: {
    readonly fill: RingState;
    readonly completion: RingState;
    readonly rx: RingState;
    readonly tx: RingState;
  };
  /** Slots that the kernel has to receive into, and to send from. */
  readonly filling: number;
  readonly sending: number;
  readonly overruns: number | null;
}

/**
 * All that another thread needs to go on with a port; plain data. `overruns` says how many of those
 * are counted already; null when whoever knew is dead.
 */
export type PortState =
  | {
      readonly driver: "af-packet";
      readonly descriptor: number;
      readonly hiding: number;
      readonly overruns: number | null;
    }
  | {
      readonly driver: "tap";
      readonly descriptor: number;
      /** Device index that its frames are counted and known under, whichever queue it is. */
      readonly device: number;
    }
  | {
      readonly driver: "af-xdp";
      /** What holds the XDP program on the device; -1 when that is not the port's. */
      readonly program: number;
      /** Whether the driver runs that program. */
      readonly isNative: boolean;
      readonly ringSize: number;
      readonly queues: readonly XdpQueueState[];
      /** Slots that the kernel has: to receive into and to send from. */
      readonly lent: readonly number[];
    };

export interface MovablePort extends Port {
  /** Slots that the kernel has. */
  readonly lent: number;
  /** What others go on with, or close, when this thread cannot any more. */
  readonly state: PortState;
  /** Ends the port here and leaves everything in the kernel as it is, for whoever adopts it. */
  detach(): PortState;
}

/**
 * Closes what a dead thread has left open. The slots that were lent come back to nobody by
 * themselves. Run by any thread of the process.
 */
export function closePort(state: PortState): void {
  if (state.driver === "af-xdp") {
    if (state.program >= 0) libc.close(state.program);
    for (const queue of state.queues) closeXdpQueue(queue);
    return;
  }
  if (state.driver === "af-packet" && state.hiding >= 0) libc.close(state.hiding);
  libc.close(state.descriptor);
}

/** Ends a socket so that the kernel touches no slot after it: the rings hold it open otherwise. */
export function closeXdpQueue({ descriptor, rings }: XdpQueueState): void {
  const { fill, completion, rx, tx } = rings;
  for (const { address, size } of [fill, completion, rx, tx]) libc.munmap(address, size);
  libc.close(descriptor);
}
