/**
 * The messages between chassis, as MessagePack. Runs on the control thread.
 *
 * `decode` takes bytes from anywhere: what is not exactly a message of ours gives null, never an
 * exception. Fields that it does not know are left out, so that a newer chassis may send more. The
 * writes and seals are checked by the store, which knows what they may say.
 */
import { BUCKETS, type Cursor, SUM_SIZE, type Vector } from "@rhone/state/ledger";
import { type Portion, SEAL_WRITES_MAX, type Seal } from "@rhone/state/write";
import { Packr } from "msgpackr/pack";
import {
  type Fields,
  fromBase64,
  isCount,
  isHash,
  isList,
  isName,
  isObject,
  isSigner,
  isText,
  isUnderlay,
  toBase64,
} from "./fields.ts";
import { isPacked, unpack } from "./packed.ts";
import { isPlain } from "./plain-msgpack.ts";

/** Bytes of writes in one message, unless a single seal's are more. */
export const PAGE_SIZE_MAX = 256 * 1024;

/** What an origin has just changed: a whole transaction. */
export interface ChangeMessage {
  readonly type: "change";
  readonly from: string;
  readonly portions: readonly Portion[];
}

/** Says that a chassis lives, and sums up what it knows. */
export interface HeartbeatMessage {
  readonly type: "heartbeat";
  readonly from: string;
  /** Grows with each start of the sender. */
  readonly incarnation: number;
  readonly revision: number;
  /** Of its latest transaction; 0 before the first. */
  readonly clock: number;
  /** `Store.root`: 16 hex digits. */
  readonly hash: string;
  /** Address that tunnels to this chassis end at. */
  readonly underlay: string;
  /** What the sender reads: `FORMAT` of packed.ts when it made it; 0 before there was one. */
  readonly format: number;
}

/** Asks for what a chassis with `vector` lacks, behind `after`. */
export interface SyncRequestMessage {
  readonly type: "sync-request";
  readonly from: string;
  readonly vector: Vector;
  /** Whether only what the chassis in `vector` wrote is asked for. */
  readonly isPartial: boolean;
  readonly after: Cursor | null;
}

/** Asks for the sums over what the receiver holds. */
export interface SumsRequestMessage {
  readonly type: "sums-request";
  readonly from: string;
}

/** Asks for all that is held in some of the buckets, behind `after`. */
export interface BucketsRequestMessage {
  readonly type: "buckets-request";
  readonly from: string;
  readonly buckets: readonly number[];
  readonly after: Cursor | null;
}

/** One page of what was asked for. */
export interface SyncReplyMessage {
  readonly type: "sync-reply";
  readonly from: string;
  readonly portions: readonly Portion[];
  /** Of the keys that signed them, DER in Base64. */
  readonly certificates: readonly string[];
  /** What to ask for next as `after`; null on the last page. */
  readonly next: Cursor | null;
  /** Of the sender, when it made the page, as far as it is beyond that of who asks. */
  readonly vector: Vector;
  /** Whether who asks is beyond the sender somewhere. */
  readonly isBehind: boolean;
  readonly hash: string;
}

export interface SumsReplyMessage {
  readonly type: "sums-reply";
  readonly from: string;
  /** `Store.sums`. */
  readonly sums: Uint8Array;
}

/** Asks whether the receiver holds all that `vector` is about, and its workers run it. */
export interface AppliedRequestMessage {
  readonly type: "applied-request";
  readonly from: string;
  readonly vector: Vector;
  /** How long it may take until the answer is yes. */
  readonly timeoutMs: number;
  /** Whether its disk must have them, too. */
  readonly isDurable?: true;
}

export interface AppliedReplyMessage {
  readonly type: "applied-reply";
  readonly from: string;
  readonly isHeld: boolean;
  readonly isApplied: boolean;
  readonly revision: number;
}

/** Asks for the connections that the receiver has in the zone of a port, from `after` on. */
export interface ConnectionsRequestMessage {
  readonly type: "connections-request";
  readonly from: string;
  readonly port: string;
  readonly after: number;
  /** Whether the port is the sender's now: the receiver may forget them. */
  readonly isLast: boolean;
}

/** One page of them. */
export interface ConnectionsReplyMessage {
  readonly type: "connections-reply";
  readonly from: string;
  /** How the records are laid out: `LAYOUT` of who made them. */
  readonly layout: number;
  /** 32-bit words, little-endian. */
  readonly records: Uint8Array;
  /** What to ask for next as `after`; null on the last page. */
  readonly next: number | null;
}

export type Message =
  | ChangeMessage
  | HeartbeatMessage
  | SyncRequestMessage
  | SumsRequestMessage
  | BucketsRequestMessage
  | SyncReplyMessage
  | SumsReplyMessage
  | AppliedRequestMessage
  | AppliedReplyMessage
  | ConnectionsRequestMessage
  | ConnectionsReplyMessage;

const HASH_SIZE = 32; // bytes
const SIGNATURE_SIZE_MAX = 64; // bytes
const CERTIFICATE_LENGTH_MAX = 2048;
const CERTIFICATES_MAX = 4096;
const CHASSIS_MAX = 4096;
const PORT_LENGTH_MAX = 256;
/** Bytes of connections in one message. */
export const CONNECTIONS_SIZE_MAX = 128 * 1024;
/** One question; who wants to wait for longer asks again. */
export const APPLIED_TIMEOUT_MAX_MS = 1000;

// Records and bundled strings are off: only plain MessagePack, which any language reads.
const packr = new Packr({ useRecords: false, bundleStrings: false });

export function encode(message: Message): Uint8Array {
  switch (message.type) {
    case "change":
      return packr.pack({ ...message, portions: message.portions.map(packPortion) });
    case "sync-reply":
      return packr.pack({ ...message, portions: message.portions.map(packPortion) });
    case "sums-reply":
      return packr.pack({ ...message, sums: toBase64(message.sums) });
    case "connections-reply":
      return packr.pack({ ...message, records: toBase64(message.records) });
    default:
      return packr.pack(message);
  }
}

/** The message in `data`, or null if it is malformed. */
export function decode(data: Uint8Array): Message | null {
  if (isPacked(data)) return unpack(data);
  if (!isPlain(data)) return null;
  // Plain MessagePack can still be text that is no UTF-8; the decoder replaces it.
  const fields: unknown = packr.unpack(data);
  if (!isObject(fields) || !isName(fields["from"])) return null;
  switch (fields["type"]) {
    case "change":
      return readChange(fields, fields["from"]);
    case "heartbeat":
      return readHeartbeat(fields, fields["from"]);
    case "sync-request":
      return readSyncRequest(fields, fields["from"]);
    case "sums-request":
      return { type: "sums-request", from: fields["from"] };
    case "buckets-request":
      return readBucketsRequest(fields, fields["from"]);
    case "sync-reply":
      return readSyncReply(fields, fields["from"]);
    case "sums-reply":
      return readSumsReply(fields, fields["from"]);
    case "applied-request":
      return readAppliedRequest(fields, fields["from"]);
    case "applied-reply":
      return readAppliedReply(fields, fields["from"]);
    case "connections-request":
      return readConnectionsRequest(fields, fields["from"]);
    case "connections-reply":
      return readConnectionsReply(fields, fields["from"]);
    default:
      return null;
  }
}

function readChange(fields: Fields, from: string): ChangeMessage | null {
  const portions = readPortions(fields["portions"]);
  return portions === null ? null : { type: "change", from, portions };
}

function readHeartbeat(fields: Fields, from: string): HeartbeatMessage | null {
  const { incarnation, revision, clock, hash, underlay } = fields;
  if (!isCount(incarnation) || !isCount(revision) || !isCount(clock) || !isHash(hash)) return null;
  if (!isUnderlay(underlay)) return null;
  const { format = 0 } = fields; // Chassis before there was one do not say it.
  if (!isCount(format)) return null;
  return { type: "heartbeat", from, incarnation, revision, clock, hash, underlay, format };
}

function readSyncRequest(fields: Fields, from: string): SyncRequestMessage | null {
  const vector = readVector(fields["vector"]);
  const after = readCursor(fields["after"]);
  const { isPartial = false } = fields; // Chassis of format 1 know no such requests.
  if (vector === null || after === undefined || typeof isPartial !== "boolean") return null;
  return { type: "sync-request", from, vector, isPartial, after };
}

function readBucketsRequest(fields: Fields, from: string): BucketsRequestMessage | null {
  const { buckets } = fields;
  const after = readCursor(fields["after"]);
  if (after === undefined || !isList(buckets, BUCKETS)) return null;
  if (!buckets.every((bucket): bucket is number => isCount(bucket) && bucket < BUCKETS))
    return null;
  return { type: "buckets-request", from, buckets, after };
}

function readSyncReply(fields: Fields, from: string): SyncReplyMessage | null {
  // Those of format 1 do not say it, and send the whole vector.
  const { certificates, hash, isBehind = true } = fields;
  const portions = readPortions(fields["portions"]);
  const vector = readVector(fields["vector"]);
  const next = readCursor(fields["next"]);
  if (portions === null || vector === null || next === undefined || !isHash(hash)) return null;
  if (typeof isBehind !== "boolean") return null;
  if (!isList(certificates, CERTIFICATES_MAX) || !certificates.every(isCertificate)) return null;
  return { type: "sync-reply", from, portions, certificates, next, vector, isBehind, hash };
}

function readSumsReply(fields: Fields, from: string): SumsReplyMessage | null {
  const sums = fromBase64(fields["sums"], BUCKETS * SUM_SIZE);
  if (sums === null || sums.length !== BUCKETS * SUM_SIZE) return null;
  return { type: "sums-reply", from, sums };
}

function readAppliedRequest(fields: Fields, from: string): AppliedRequestMessage | null {
  const { timeoutMs } = fields;
  const vector = readVector(fields["vector"]);
  if (vector === null || !isCount(timeoutMs) || timeoutMs > APPLIED_TIMEOUT_MAX_MS) return null;
  const request = { type: "applied-request", from, vector, timeoutMs } as const;
  return fields["isDurable"] === true ? { ...request, isDurable: true } : request;
}

function readAppliedReply(fields: Fields, from: string): AppliedReplyMessage | null {
  const { isHeld, isApplied, revision } = fields;
  if (typeof isHeld !== "boolean" || typeof isApplied !== "boolean") return null;
  return isCount(revision) ? { type: "applied-reply", from, isHeld, isApplied, revision } : null;
}

function readConnectionsRequest(fields: Fields, from: string): ConnectionsRequestMessage | null {
  const { port, after, isLast } = fields;
  if (!isText(port, PORT_LENGTH_MAX) || !isCount(after) || typeof isLast !== "boolean") return null;
  return { type: "connections-request", from, port, after, isLast };
}

function readConnectionsReply(fields: Fields, from: string): ConnectionsReplyMessage | null {
  const { layout, next } = fields;
  const records = fromBase64(fields["records"], CONNECTIONS_SIZE_MAX);
  if (!isCount(layout) || records === null || records.length % 4 !== 0) return null;
  if (next !== null && !isCount(next)) return null;
  return { type: "connections-reply", from, layout, records, next };
}

function packPortion({ seal, texts }: Portion): Fields {
  const { hashes, signature, ...rest } = seal;
  const bytes = Buffer.from(hashes.join(""), "hex");
  return { ...rest, hashes: toBase64(bytes), signature: toBase64(signature), texts };
}

function readPortions(list: unknown): Portion[] | null {
  if (!Array.isArray(list)) return null;
  const portions: Portion[] = [];
  for (const item of list) {
    const portion = readPortion(item);
    if (portion === null) return null;
    portions.push(portion);
  }
  return portions;
}

function readPortion(item: unknown): Portion | null {
  if (!isObject(item)) return null;
  const { origin, clock, previous, part, parts, signer, texts } = item;
  const hashes = fromBase64(item["hashes"], SEAL_WRITES_MAX * HASH_SIZE);
  const signature = fromBase64(item["signature"], SIGNATURE_SIZE_MAX);
  if (!isName(origin) || !isCount(clock) || !isCount(previous)) return null;
  if (!isCount(part) || !isCount(parts)) return null;
  if (!isSigner(signer)) return null;
  if (hashes === null || hashes.length % HASH_SIZE !== 0 || signature === null) return null;
  if (!isList(texts, SEAL_WRITES_MAX)) return null;
  if (!texts.every((text): text is string => typeof text === "string")) return null;
  const hex = Buffer.from(hashes).toString("hex");
  const seal: Seal = {
    ...{ origin, clock, previous, part, parts, signer, signature },
    hashes: Array.from({ length: hashes.length / HASH_SIZE }, (_, i) =>
      hex.slice(i * HASH_SIZE * 2, (i + 1) * HASH_SIZE * 2),
    ),
  };
  // What the writes say is for the store to judge.
  return { seal, texts };
}

function readVector(value: unknown): Vector | null {
  if (!isObject(value)) return null;
  const clocks = Object.entries(value);
  if (clocks.length > CHASSIS_MAX) return null;
  return clocks.every(([name, clock]) => isName(name) && isCount(clock)) ? (value as Vector) : null;
}

function isCertificate(value: unknown): value is string {
  return isText(value, CERTIFICATE_LENGTH_MAX);
}

/** undefined when it is none; null is the one before everything. */
function readCursor(value: unknown): Cursor | null | undefined {
  if (value === null) return null;
  if (!isObject(value)) return undefined;
  const { origin, clock, part } = value;
  return isName(origin) && isCount(clock) && isCount(part) ? { origin, clock, part } : undefined;
}
