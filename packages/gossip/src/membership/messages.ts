/**
 * The messages of membership, as MessagePack arrays. Runs on the control thread.
 *
 *   [version, type, seq, target, incarnation, [[name, status, incarnation, by], …]]
 *
 * Who sends is not in the message: the subject says so, and on a link the certificate. `decode`
 * takes bytes from anywhere and answers with a reason when they are no message.
 */
import { Packr } from "msgpackr/pack";
import { isName } from "../fields.ts";
import { isPlain } from "../plain-msgpack.ts";
import { type Claim, STATUSES } from "./claim.ts";

const VERSION = 1;
export const CLAIMS_MAX = 12;
/** Of one message: names are 63 bytes at most, and a claim has two of them. */
export const MESSAGE_SIZE_MAX = 2048;
export const SEQ_MAX = 0xffffffff;
/** Incarnations begin as the time of a start; clocks may differ by so much. */
export const AHEAD_MAX_MS = 24 * 3_600_000;

export const MESSAGE_TYPES = ["ping", "ping-request", "ack", "nack", "tell"] as const;

export interface Message {
  readonly type: (typeof MESSAGE_TYPES)[number];
  /** Of a ping or a request for one, and of the answer to it; 0 when told only. */
  readonly seq: number;
  /** Whom a `ping-request` is about; else "". */
  readonly target: string;
  /** Of the sender. */
  readonly incarnation: number;
  /** News, at most CLAIMS_MAX of them. */
  readonly claims: readonly Claim[];
}

export type Refusal = "member-oversized" | "member-malformed" | "member-future";

const packr = new Packr({ useRecords: false, bundleStrings: false });

export function encode({ type, seq, target, incarnation, claims }: Message): Uint8Array {
  const list = claims.map((claim) => [
    claim.name,
    STATUSES.indexOf(claim.status),
    claim.incarnation,
    claim.by,
  ]);
  return packr.pack([VERSION, MESSAGE_TYPES.indexOf(type), seq, target, incarnation, list]);
}

/** `wallMs` is now: incarnations that are far ahead could never be overridden by their owner. */
export function decode(data: Uint8Array, wallMs: number): Message | Refusal {
  if (data.length > MESSAGE_SIZE_MAX) return "member-oversized";
  if (!isPlain(data)) return "member-malformed";
  const fields: unknown = packr.unpack(data);
  if (!Array.isArray(fields) || fields.length !== 6 || fields[0] !== VERSION) {
    return "member-malformed";
  }
  const [, typeIndex, seq, target, incarnation, list] = fields as unknown[];
  const type = isCount(typeIndex) ? MESSAGE_TYPES[typeIndex] : undefined;
  if (type === undefined || !isCount(seq) || seq > SEQ_MAX || !isCount(incarnation)) {
    return "member-malformed";
  }
  if (type === "ping-request" ? !isName(target) : target !== "") return "member-malformed";
  if (!Array.isArray(list) || list.length > CLAIMS_MAX) return "member-malformed";
  const claims: Claim[] = [];
  for (const item of list) {
    const claim = readClaim(item);
    if (claim === null) return "member-malformed";
    claims.push(claim);
  }
  const lastMs = wallMs + AHEAD_MAX_MS;
  if (incarnation > lastMs || claims.some((claim) => claim.incarnation > lastMs)) {
    return "member-future";
  }
  return { type, seq, target: target as string, incarnation, claims };
}

function readClaim(item: unknown): Claim | null {
  if (!Array.isArray(item) || item.length !== 4) return null;
  const [name, statusIndex, incarnation, by] = item as unknown[];
  const status = isCount(statusIndex) ? STATUSES[statusIndex] : undefined;
  if (!isName(name) || status === undefined || !isCount(incarnation)) return null;
  if (status === "suspect" ? !isName(by) : by !== "") return null;
  return { name, status, incarnation, by: by as string };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
