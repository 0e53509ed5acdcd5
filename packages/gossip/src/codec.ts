/**
 * The messages between chassis, as MessagePack. Runs on the control thread.
 *
 * `decode` takes bytes from anywhere: what is not exactly a message of ours gives null, never an
 * exception. Fields that it does not know are left out, so that a newer chassis may send more. The
 * documents inside entries are checked by the store, which knows their schemas.
 */
import type { Entry, Version } from "@rhone/state/record";
import { Packr } from "msgpackr/pack";
import { isPlain } from "./plain-msgpack.ts";

/** Bytes of entries in one message, unless a single entry is larger. */
export const ENTRIES_SIZE_MAX = 256 * 1024;

/** What an origin has just changed. A gap in `seq` says that one was lost. */
export interface ChangeMessage {
  readonly type: "change";
  readonly from: string;
  /** Grows with each start of the sender. */
  readonly incarnation: number;
  /** Counts the sender's change messages in this incarnation, from 1. */
  readonly seq: number;
  readonly entries: readonly Entry[];
}

/** Says that a chassis lives, and sums up what it knows. */
export interface HeartbeatMessage {
  readonly type: "heartbeat";
  readonly from: string;
  readonly incarnation: number;
  /** Of the sender's last change message; 0 before the first. */
  readonly seq: number;
  readonly revision: number;
  /** `Summary.hash`: 16 hex digits. */
  readonly hash: string;
  /** Address that tunnels to this chassis end at. */
  readonly underlay: string;
}

/** Asks for the entries whose key sorts behind `after`; "" asks from the start. */
export interface SyncRequestMessage {
  readonly type: "sync-request";
  readonly from: string;
  readonly after: string;
}

/** One page of entries in the order of their keys. */
export interface SyncReplyMessage {
  readonly type: "sync-reply";
  readonly from: string;
  readonly entries: readonly Entry[];
  /** What to ask for next as `after`; "" on the last page. */
  readonly next: string;
}

export type Message = ChangeMessage | HeartbeatMessage | SyncRequestMessage | SyncReplyMessage;

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const HASH = /^[0-9a-f]{16}$/;
const KEY_LENGTH_MAX = 128;
const UNDERLAY_LENGTH_MAX = 64;

// Records and bundled strings are off: only plain MessagePack, which any language reads.
const packr = new Packr({ useRecords: false, bundleStrings: false });

type Fields = Readonly<Record<string, unknown>>;

export function encode(message: Message): Uint8Array {
  return packr.pack(message);
}

/** The message in `data`, or null if it is malformed. */
export function decode(data: Uint8Array): Message | null {
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
    case "sync-reply":
      return readSyncReply(fields, fields["from"]);
    default:
      return null;
  }
}

/** Whether `name` can be a chassis, and so one token of a subject. */
export function isName(name: unknown): name is string {
  return typeof name === "string" && NAME.test(name);
}

/** How many of `entries`, from index `start`, fit in one message: at least one, if there is one. */
export function countThatFits(entries: readonly Entry[], start: number): number {
  let size = 0;
  let end = start;
  while (end < entries.length) {
    size += packr.pack(entries[end]).length;
    if (size > ENTRIES_SIZE_MAX && end > start) break;
    end++;
  }
  return end - start;
}

function readChange(fields: Fields, from: string): ChangeMessage | null {
  const { incarnation, seq } = fields;
  const entries = readEntries(fields["entries"]);
  if (!isCount(incarnation) || !isCount(seq) || seq === 0 || entries === null) return null;
  return { type: "change", from, incarnation, seq, entries };
}

function readHeartbeat(fields: Fields, from: string): HeartbeatMessage | null {
  const { incarnation, seq, revision, hash, underlay } = fields;
  if (!isCount(incarnation) || !isCount(seq) || !isCount(revision)) return null;
  if (typeof hash !== "string" || !HASH.test(hash)) return null;
  if (!isText(underlay, UNDERLAY_LENGTH_MAX)) return null;
  return { type: "heartbeat", from, incarnation, seq, revision, hash, underlay };
}

function readSyncRequest(fields: Fields, from: string): SyncRequestMessage | null {
  const { after } = fields;
  return isText(after, KEY_LENGTH_MAX) ? { type: "sync-request", from, after } : null;
}

function readSyncReply(fields: Fields, from: string): SyncReplyMessage | null {
  const { next } = fields;
  const entries = readEntries(fields["entries"]);
  if (entries === null || !isText(next, KEY_LENGTH_MAX)) return null;
  return { type: "sync-reply", from, entries, next };
}

function readEntries(list: unknown): Entry[] | null {
  if (!Array.isArray(list)) return null;
  const entries: Entry[] = [];
  for (const item of list) {
    const entry = readEntry(item);
    if (entry === null) return null;
    entries.push(entry);
  }
  return entries;
}

function readEntry(item: unknown): Entry | null {
  if (!isObject(item)) return null;
  const { kind, name, value } = item;
  const created = readVersion(item["created"]);
  const version = readVersion(item["version"]);
  if (!isName(kind) || !isName(name) || created === null || version === null) return null;
  if (value !== null && !isObject(value)) return null;
  // Whether the kind exists and the document fits it is for the store to say.
  return { kind, name, created, version, value } as Entry;
}

function readVersion(item: unknown): Version | null {
  if (!isObject(item)) return null;
  const { clock, origin } = item;
  return isCount(clock) && isName(origin) ? { clock, origin } : null;
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isText(value: unknown, lengthMax: number): value is string {
  return typeof value === "string" && value.length <= lengthMax;
}
