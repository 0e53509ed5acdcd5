/**
 * What the control thread gives a worker when it starts, and what they tell each other afterwards.
 * Everything that packets touch is shared memory; messages carry only the rare events.
 */
import type { MessagePort } from "node:worker_threads";
import type { PortState } from "@rhone/netio/movable-port";
import type { TunnelQueues } from "@rhone/netio/tunnel-program";
import type { Pool } from "@rhone/rings/pool";
import type { Generation } from "@rhone/tables/generation";
import type { Zone } from "@rhone/tables/moved-connections";
import type { Allotment } from "./allotment.ts";

/** Packets that wait between two workers. */
export const RING_CAPACITY = 4096;

export type Driver = PortState["driver"];

export interface TablesEdition {
  readonly image: Generation;
  readonly edition: number;
}

export interface WorkerPlan {
  /** Number of this worker, from 0. */
  readonly worker: number;
  /** Workers that there may ever be: all memory is there for so many. */
  readonly workersMax: number;
  readonly pool: Pool;
  /** Free slots that this worker is home to. */
  readonly slots: Int32Array;
  /**
   * `rings[from][to]`: packets handed over; on the diagonal, those that wait until this worker owns
   * what they are for.
   */
  readonly rings: readonly (readonly SharedArrayBuffer[])[];
  /** `returns[from][to]`: free slots on their way home. */
  readonly returns: readonly (readonly SharedArrayBuffer[])[];
  /** Under which tables the chassis begins packets. */
  readonly begun: SharedArrayBuffer;
  /** By worker. */
  readonly statuses: readonly SharedArrayBuffer[];
  /** By worker: eventfd descriptors, valid in every thread of the process. */
  readonly doorbells: readonly number[];
  /** Of the whole chassis: knowledge-time.ts. */
  readonly knowledge: SharedArrayBuffer;
  /** Of the whole chassis: pick-up-window.ts. */
  readonly pickUp: SharedArrayBuffer;
  /** Of the whole chassis: device-fences.ts. */
  readonly fences: SharedArrayBuffer;
  /** Of the whole chassis: device-queues.ts. */
  readonly queues: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly ruleCounters: SharedArrayBuffer;
  /** Of the whole chassis; a worker touches only the buckets that it owns. */
  readonly connections: SharedArrayBuffer;
  readonly fragments: SharedArrayBuffer;
  /** What `performance.timeOrigin` is on the control thread: the chassis's clock starts there. */
  readonly clockOriginMs: number;
  /** The generations to hold from the start, the newest first. */
  readonly tables: readonly TablesEdition[];
  readonly allotment: Allotment;
  readonly underlay: {
    /** Local address and UDP port of the tunnel. */
    readonly address: string;
    readonly port: number;
    /** Sockets of the whole chassis to receive from: the allotment says who does. */
    readonly sockets: readonly number[];
    /** This worker's sockets to send by, an Int32Array. */
    readonly senders: SharedArrayBuffer;
    /** The device's queues that the tunnel goes by as well; null: by the sockets alone. */
    readonly queues: TunnelQueues | null;
  };
  /** An image of tunnel-paths.ts; null while there is none. */
  readonly paths: SharedArrayBuffer | null;
  readonly mailbox: MessagePort;
}

/** From the control thread to a worker. */
export type Command =
  | ({ readonly type: "tables" } & TablesEdition)
  | {
      readonly type: "open";
      readonly index: number;
      readonly device: string;
      readonly driver: Driver;
    }
  | { readonly type: "close"; readonly index: number }
  /** Tells the outside of a device where the routers of its port's switch are. */
  | { readonly type: "announce"; readonly index: number }
  /** Other ways to the tunnel's endpoints. */
  | { readonly type: "paths"; readonly image: SharedArrayBuffer }
  | { readonly type: "allotment"; readonly allotment: Allotment }
  /** Another worker died, and all that it had sent is taken. */
  | { readonly type: "forget"; readonly worker: number }
  /** A port comes from another worker; null when that one had none. */
  | { readonly type: "adopt"; readonly index: number; readonly state: PortState | null }
  /** Connections that came with a port: those of its buckets it writes into the table. */
  | { readonly type: "connections"; readonly zone: Zone; readonly records: Int32Array }
  /** Entries of a port that went elsewhere: those of its buckets it removes. */
  | { readonly type: "departed"; readonly zone: Zone; readonly entries: Int32Array }
  /** Asks for an account of its slots, which also says that all before it is done. */
  | { readonly type: "account"; readonly number: number }
  | { readonly type: "stop" };

/** From a worker to the control thread. */
export type Report =
  | { readonly type: "started" }
  /** It holds tables that it was given, as its status says. */
  | { readonly type: "held"; readonly edition: number }
  /** It begins packets under these, as its status says. */
  | { readonly type: "begun"; readonly edition: number }
  /** The last word: null when it was told to stop. */
  | { readonly type: "ended"; readonly error: Error | null }
  | {
      readonly type: "opened";
      readonly index: number;
      readonly state: PortState;
      /** Further queues of the device, which wait to be adopted each under an index of its own. */
      readonly further: readonly PortState[];
    }
  /** A port that moved here is in service. */
  | { readonly type: "adopted"; readonly index: number }
  /** A port that moves; null when there is none. */
  | { readonly type: "detached"; readonly index: number; readonly state: PortState | null }
  | { readonly type: "account"; readonly number: number; readonly slots: SlotAccount }
  | { readonly type: "closed"; readonly index: number; readonly detail: string }
  /** By the device of a port that stands by came a frame that activates it. */
  | { readonly type: "awakened"; readonly index: number }
  /** Packets from this outer address, four words, name what we do not know yet. */
  | { readonly type: "early"; readonly address: readonly number[] }
  | { readonly type: "refused"; readonly index: number; readonly detail: string };

/** Where a worker's slots are, between two batches. */
export interface SlotAccount {
  readonly free: number;
  /** Of others, on their way home. */
  readonly returning: number;
  /** Lie ready for sockets to receive into. */
  readonly waiting: number;
  /** Of packets that wait for tables that have what they name, or for their first fragment. */
  readonly early: number;
  /** The kernel has them. */
  readonly lent: number;
  /** What came in and has not gone out: as many as the five above together, if none is lost. */
  readonly expected: number;
}
