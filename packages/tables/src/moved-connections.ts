/**
 * Connections on their way from one chassis to another, with the port in whose zone they are: read
 * out of the table by the control thread there, written into it by the workers here.
 *
 * Reading races with the workers that own the buckets. That is no matter: an entry that is replaced
 * meanwhile is left out, and TCP's numbers may be a moment old, as they are on arrival anyway.
 *
 *   record, 26 words: 0 protocol   1 version of IP   2 … 5 low, 6 … 9 high address, IPv4 in the
 *   last word   10 ports   11 flags and state as in an entry   12 milliseconds that are left
 *   13 … 20 TCP as in an entry   21 … 24 address and 25 port of a translation
 */
import * as memory from "./connection-memory.ts";

export const RECORD_WORDS = 26;

export const PROTOCOL = 0;
export const VERSION = 1;
export const LOW = 2;
export const HIGH = 6;
export const PORTS = 10;
export const FLAGS = 11;
export const LEFT_MS = 12;
export const TCP = 13;
export const TRANSLATION = 21;

const TCP_WORDS = 8;
const TRANSLATION_WORDS = 5;
/** States that any protocol has are smaller. */
const STATES = 10;
const LEFT_MAX_MS = 86_400_000;
const { FROM_HIGH, REPLY_SEEN, BLOCKED, TRANSLATED, REVERSE } = memory;
const FLAGS_MOVED =
  FROM_HIGH | REPLY_SEEN | BLOCKED | TRANSLATED | REVERSE | (0xff << memory.STATE_SHIFT);

/** The zone of a logical port: VNI of its switch, 24 bits; port key, 16 bits. */
export interface Zone {
  readonly vni: number;
  readonly port: number;
}

export interface MovedPage {
  /** Records, one behind the other. */
  readonly records: Int32Array;
  /** Where to go on; null when that was all. */
  readonly next: number | null;
}

/**
 * At most `limit` connections of a zone that have not run out, from entry `after` on. `buffer` is
 * memory of `createConnections`, `nowMs` of the chassis's clock.
 */
export function collect(
  buffer: SharedArrayBuffer,
  zone: Zone,
  after: number,
  limit: number,
  nowMs: number,
): MovedPage {
  const layout = memory.layoutOf(buffer);
  const records = new Int32Array(limit * RECORD_WORDS);
  let count = 0;
  for (const entry of entriesOf(layout, zone, after)) {
    if (count === limit) return { records, next: entry };
    if (read(layout, zone, entry, nowMs, records, count * RECORD_WORDS)) count++;
  }
  return { records: records.slice(0, count * RECORD_WORDS), next: null };
}

/** The numbers of all entries in a zone, what has run out included. */
export function numbersOf(buffer: SharedArrayBuffer, zone: Zone): Int32Array {
  return Int32Array.from(entriesOf(memory.layoutOf(buffer), zone, 0));
}

/** Null, or what is wrong with records that came from elsewhere. */
export function flawOf(records: Int32Array): string | null {
  if (records.length % RECORD_WORDS !== 0) {
    return `expected records of ${RECORD_WORDS} words, got ${records.length} words`;
  }
  for (let at = 0; at < records.length; at += RECORD_WORDS) {
    const version = records[at + VERSION]!;
    if (version !== 4 && version !== 6) return `expected version 4 or 6 of IP, got ${version}`;
    const protocol = records[at + PROTOCOL]!;
    if (protocol < 0 || protocol > 255) return `expected a protocol of 0 to 255, got ${protocol}`;
    const leftMs = records[at + LEFT_MS]!;
    if (leftMs < 0 || leftMs > LEFT_MAX_MS) {
      return `expected 0 to ${LEFT_MAX_MS} ms to be left, got ${leftMs}`;
    }
    const flags = records[at + FLAGS]!;
    if ((flags & ~FLAGS_MOVED) !== 0 || flags >>> memory.STATE_SHIFT >= STATES) {
      return `expected flags and a state of a connection, got ${flags}`;
    }
  }
  return null;
}

function* entriesOf(layout: memory.Layout, { vni, port }: Zone, after: number): Generator<number> {
  const { words, perBucket, headsAt, entriesAt } = layout;
  const first = Math.floor(after / perBucket);
  for (let bucket = first; bucket < memory.BUCKETS; bucket++) {
    const unused = words[headsAt + bucket * memory.HEAD_WORDS + memory.HEAD_UNUSED]!;
    const begin = bucket === first ? after - first * perBucket : 0;
    for (let number = begin; number < unused; number++) {
      const entry = bucket * perBucket + number;
      const at = entriesAt + entry * memory.ENTRY_WORDS;
      const portVersion = words[at + memory.PORT_VERSION]!;
      if (portVersion >>> 8 !== port || portVersion === 0) continue;
      if (words[at + memory.VNI_PROTOCOL]! >>> 8 === vni) yield entry;
    }
  }
}

/** Whether the entry is still what it was when it had been read. */
function read(
  { words, entriesAt, translationsAt }: memory.Layout,
  { port }: Zone,
  entry: number,
  nowMs: number,
  records: Int32Array,
  to: number,
): boolean {
  const at = entriesAt + entry * memory.ENTRY_WORDS;
  const leftMs = (words[at + memory.EXPIRES]! - nowMs) | 0;
  // What is not sure to be a connection at all is not passed on as one.
  if (leftMs < 0 || (words[at + memory.FLAGS]! & memory.PICKED_UP) !== 0) return false;
  const hash = words[at + memory.HASH]!;
  const portVersion = words[at + memory.PORT_VERSION]!;
  const version = portVersion & 0xff;
  records[to + PROTOCOL] = words[at + memory.VNI_PROTOCOL]! & 0xff;
  records[to + VERSION] = version;
  for (let i = 0; i < 3; i++) {
    records[to + LOW + i] = version === 6 ? words[at + memory.LOW_REST + i]! : 0;
    records[to + HIGH + i] = version === 6 ? words[at + memory.HIGH_REST + i]! : 0;
  }
  records[to + LOW + 3] = words[at + memory.LOW]!;
  records[to + HIGH + 3] = words[at + memory.HIGH]!;
  records[to + PORTS] = words[at + memory.PORTS]!;
  records[to + FLAGS] = words[at + memory.FLAGS]! & FLAGS_MOVED;
  records[to + LEFT_MS] = Math.min(leftMs, LEFT_MAX_MS);
  for (let i = 0; i < TCP_WORDS; i++) records[to + TCP + i] = words[at + memory.TCP + i]!;
  const translation = translationsAt + entry * memory.TRANSLATION_WORDS;
  for (let i = 0; i < TRANSLATION_WORDS; i++) {
    records[to + TRANSLATION + i] = words[translation + i]!;
  }
  const isSame =
    words[at + memory.HASH] === hash && words[at + memory.PORT_VERSION] === portVersion;
  return isSame && portVersion >>> 8 === port;
}
