/**
 * What the control thread gives a worker when it starts, and what they tell each other afterwards.
 * Everything that packets touch is shared memory; messages carry only the rare events.
 */
import type { MessagePort } from "node:worker_threads";
import type { Pool } from "@rhone/rings/pool";

/** Packets that wait between two workers. */
export const RING_CAPACITY = 4096;

export type Driver = "af-packet" | "af-xdp" | "tap";

export interface WorkerPlan {
  /** Number of this worker, from 0. */
  readonly worker: number;
  readonly workerCount: number;
  readonly pool: Pool;
  /** `rings[from][to]`: packets handed over; the diagonal is unused. */
  readonly rings: readonly (readonly SharedArrayBuffer[])[];
  /** `returns[from][to]`: free slots on their way home. */
  readonly returns: readonly (readonly SharedArrayBuffer[])[];
  /** By worker. */
  readonly statuses: readonly SharedArrayBuffer[];
  /** By worker: eventfd descriptors, valid in every thread of the process. */
  readonly doorbells: readonly number[];
  readonly counters: SharedArrayBuffer;
  readonly ruleCounters: SharedArrayBuffer;
  /** Of the whole chassis; a worker touches only the buckets that it owns. */
  readonly connections: SharedArrayBuffer;
  /** What `performance.timeOrigin` is on the control thread: the chassis's clock starts there. */
  readonly clockOriginMs: number;
  /** The first generation. */
  readonly tables: SharedArrayBuffer;
  /** Local address and UDP port of the tunnel. */
  readonly underlay: { readonly address: string; readonly port: number };
  readonly mailbox: MessagePort;
}

/** From the control thread to a worker. */
export type Command =
  | { readonly type: "tables"; readonly buffer: SharedArrayBuffer; readonly edition: number }
  | {
      readonly type: "open";
      readonly index: number;
      readonly device: string;
      readonly driver: Driver;
    }
  | { readonly type: "close"; readonly index: number }
  | { readonly type: "stop" };

/** From a worker to the control thread. */
export type Report =
  | { readonly type: "opened"; readonly index: number }
  | { readonly type: "closed"; readonly index: number; readonly detail: string }
  | { readonly type: "refused"; readonly index: number; readonly detail: string };
