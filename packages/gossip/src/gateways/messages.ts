/**
 * The heartbeats of gateways, as MessagePack arrays. Runs on the control thread.
 *
 *   [version, incarnation, seq, [[gateway, stance, epoch, epochMax, grant], …]]
 *   grant: null or [to, incarnation, seq, epoch]
 *
 * Who sends is not in the message: the subject says so, and on a link the certificate. `decode`
 * takes bytes from anywhere; null when they are no heartbeat.
 */
import { Packr } from "msgpackr/pack";
import { isCount, isList, isName } from "../fields.ts";
import { isPlain } from "../plain-msgpack.ts";

const VERSION = 1;
/** Gateways in one message; who has more with a peer sends several. */
export const ENTRIES_MAX = 64;
const MESSAGE_SIZE_MAX = 16_384;

/**
 * idle: not to forward; able: could; asks: wants to; active: does, or has stopped a moment ago and
 * is not sure yet that nothing is on its way.
 */
export const STANCES = ["idle", "able", "asks", "active"] as const;
export type Stance = (typeof STANCES)[number];

/** A promise to grant nobody else for a while. */
export interface Grant {
  /** To whom. */
  readonly to: string;
  /** The message in which it asked. */
  readonly incarnation: number;
  readonly seq: number;
  /** The epoch that it asked for. */
  readonly epoch: number;
}

/** What a chassis says of one gateway. */
export interface Entry {
  readonly gateway: string;
  readonly stance: Stance;
  /** That it asks for, or has; else 0. */
  readonly epoch: number;
  /** The highest that it knows of. */
  readonly epochMax: number;
  readonly grant: Grant | null;
}

export interface Heartbeat {
  /** Other than at the last start of the sender. */
  readonly incarnation: number;
  /** Grows with each message. */
  readonly seq: number;
  readonly entries: readonly Entry[];
}

const packr = new Packr({ useRecords: false, bundleStrings: false });

export function encode({ incarnation, seq, entries }: Heartbeat): Uint8Array {
  const list = entries.map(({ gateway, stance, epoch, epochMax, grant }) => {
    const promise = grant === null ? null : [grant.to, grant.incarnation, grant.seq, grant.epoch];
    return [gateway, STANCES.indexOf(stance), epoch, epochMax, promise];
  });
  return packr.pack([VERSION, incarnation, seq, list]);
}

export function decode(data: Uint8Array): Heartbeat | null {
  if (data.length > MESSAGE_SIZE_MAX || !isPlain(data)) return null;
  const fields: unknown = packr.unpack(data);
  if (!Array.isArray(fields) || fields.length !== 4 || fields[0] !== VERSION) return null;
  const [, incarnation, seq, list] = fields as unknown[];
  if (!isCount(incarnation) || !isCount(seq) || !isList(list, ENTRIES_MAX)) return null;
  const entries: Entry[] = [];
  for (const item of list) {
    const entry = readEntry(item);
    if (entry === null) return null;
    entries.push(entry);
  }
  return { incarnation, seq, entries };
}

function readEntry(item: unknown): Entry | null {
  if (!Array.isArray(item) || item.length !== 5) return null;
  const [gateway, stanceIndex, epoch, epochMax, promise] = item as unknown[];
  const stance = isCount(stanceIndex) ? STANCES[stanceIndex] : undefined;
  if (!isName(gateway) || stance === undefined || !isCount(epoch) || !isCount(epochMax)) {
    return null;
  }
  if (promise === null) return { gateway, stance, epoch, epochMax, grant: null };
  const grant = readGrant(promise);
  return grant === null ? null : { gateway, stance, epoch, epochMax, grant };
}

function readGrant(item: unknown): Grant | null {
  if (!Array.isArray(item) || item.length !== 4) return null;
  const [to, incarnation, seq, epoch] = item as unknown[];
  if (!isName(to) || !isCount(incarnation) || !isCount(seq) || !isCount(epoch)) return null;
  return { to, incarnation, seq, epoch };
}
