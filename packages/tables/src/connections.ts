/**
 * The connections of one chassis, in shared memory that every worker sees. Run by the workers.
 *
 * Flows are split into 256 buckets by the top bits of their hash, and memory with them: only a
 * bucket's owner touches its part, without locks; it moves to another worker without any copying.
 *
 *   index of a bucket: places, 0 empty, else the hash's high 16 bits | entry number + 1
 *   entry, 32 words in two cache lines:
 *    0 hash, of a free entry the number + 1 of the next free one
 *    1 VNI << 8 | protocol   2 port key << 8 | version, 0 of a free entry
 *    3, 4 low and high address   5 ports   6 flags   7 expires, ms   8 … 15 decisions, see below
 *   16 … 21 the rest of IPv6 addresses
 *   22 … 29 TCP: two directions × [end, maxEnd, maxWindow, acknowledged]
 *   30 links of unreplied.ts   31 TCP: end of a SYN that had no effect
 *
 * The two ends of a flow are kept in one order, so both directions have one key. The index is half
 * full at most and closes its gaps: most look-ups touch one line of it and one of the entry.
 */

import { bucketOf } from "@rhone/rings/buckets";
import { poolViews } from "@rhone/rings/pool";
import * as memory from "./connection-memory.ts";
import * as moved from "./moved-connections.ts";
import * as unreplied from "./unreplied.ts";

export const NONE = -1;

export const { REPLY_SEEN, BLOCKED, TRANSLATED, REVERSE, PICKED_UP } = memory;
const { FROM_HIGH, STATE_SHIFT } = memory;
const SCALE_SHIFT = 16;
const SCALE_BITS = 5;
const SCALE_MASK = 31;
const ENTRY_SHIFT = 5;
/** Entries of a full bucket that are looked at for one that has run out and was not yet swept. */
const EARLY_DROP_LOOKS = 32;

const { HASH, VNI_PROTOCOL, PORT_VERSION, LOW, HIGH, PORTS, FLAGS, EXPIRES } = memory;
const { DECISIONS, LOW_REST, HIGH_REST, TCP, SYN_END } = memory;
/** Of the fast path's decision: who writes them says what they mean. */
const DECISION_WORDS = 8;
/** PORT_VERSION of a free entry: that of one in use has a version. */
const NOT_IN_USE = 0;

const { words, perBucket, places, headsAt, indexAt, entriesAt } = memory.installedConnections();
const placeMask = places - 1;
const poolView = poolViews().view;

/** The key that was loaded last: words 1 to 5 of an entry, then both ends' further words. */
const key = new Int32Array(11);
let isFromHigh = false;

/**
 * Loads the key of an IPv4 packet in the zone of a logical port (VNI of its switch, 24 bits; port
 * key, 16 bits). Ports are 0 where the protocol has none; of ICMP echo both are the identifier.
 */
export function loadIpv4(
  vni: number,
  port: number,
  protocol: number,
  source: number,
  destination: number,
  sourcePort: number,
  destinationPort: number,
): void {
  key[0] = (vni << 8) | protocol;
  key[1] = (port << 8) | 4;
  const order = (source ^ 0x80000000) - (destination ^ 0x80000000);
  isFromHigh = order > 0 || (order === 0 && sourcePort > destinationPort);
  key[2] = isFromHigh ? destination : source;
  key[3] = isFromHigh ? source : destination;
  key[4] = isFromHigh ? (destinationPort << 16) | sourcePort : (sourcePort << 16) | destinationPort;
}

/** As `loadIpv4`; the addresses are 16 bytes each at byte offsets of the packet pool. */
export function loadIpv6(
  vni: number,
  port: number,
  protocol: number,
  sourceAt: number,
  destinationAt: number,
  sourcePort: number,
  destinationPort: number,
): void {
  key[0] = (vni << 8) | protocol;
  key[1] = (port << 8) | 6;
  let order = 0;
  for (let i = 0; i < 4 && order === 0; i++) {
    const a = poolView.getInt32(sourceAt + i * 4);
    const b = poolView.getInt32(destinationAt + i * 4);
    order = (a ^ 0x80000000) - (b ^ 0x80000000);
  }
  isFromHigh = order > 0 || (order === 0 && sourcePort > destinationPort);
  const lowAt = isFromHigh ? destinationAt : sourceAt;
  const highAt = isFromHigh ? sourceAt : destinationAt;
  key[2] = poolView.getInt32(lowAt + 12);
  key[3] = poolView.getInt32(highAt + 12);
  key[4] = isFromHigh ? (destinationPort << 16) | sourcePort : (sourcePort << 16) | destinationPort;
  for (let i = 0; i < 3; i++) {
    key[5 + i] = poolView.getInt32(lowAt + i * 4);
    key[8 + i] = poolView.getInt32(highAt + i * 4);
  }
}

/** Loads the key of a connection that came from another chassis, words of moved-connections.ts. */
export function loadMoved(vni: number, port: number, record: Int32Array, at: number): void {
  key[0] = (vni << 8) | (record[at + moved.PROTOCOL]! & 0xff);
  key[1] = (port << 8) | (record[at + moved.VERSION]! & 0xff);
  key[2] = record[at + moved.LOW + 3]!;
  key[3] = record[at + moved.HIGH + 3]!;
  key[4] = record[at + moved.PORTS]!;
  isFromHigh = (record[at + moved.FLAGS]! & FROM_HIGH) !== 0;
  for (let i = 0; i < 3; i++) {
    key[5 + i] = record[at + moved.LOW + i]!;
    key[8 + i] = record[at + moved.HIGH + i]!;
  }
}

/** The loaded key, of the same packet, in the zone of another port. */
export function loadZone(vni: number, port: number): void {
  key[0] = (vni << 8) | (key[0]! & 0xff);
  key[1] = (port << 8) | (key[1]! & 0xff);
}

/**
 * The loaded key, of the same packet with another source or destination; `address` is four words,
 * of the packet's family.
 */
export function loadOtherEnd(isSource: boolean, address: Int32Array, port: number): void {
  const isIpv4 = (key[1]! & 0xff) === 4;
  // The end that stays, of which nothing is known but where it stands.
  const isLow = isSource === isFromHigh;
  const last = key[isLow ? 2 : 3]!;
  const restAt = isLow ? 5 : 8;
  const stayingPort = isLow ? key[4]! >>> 16 : key[4]! & 0xffff;
  let order = 0;
  for (let i = isIpv4 ? 3 : 0; i < 4 && order === 0; i++) {
    const staying = i === 3 ? last : key[restAt + i]!;
    order = (address[i]! ^ 0x80000000) - (staying ^ 0x80000000);
  }
  if (order === 0) order = port - stayingPort;
  // Of two ends that are the same the source is the low one.
  const isHigh = order > 0 || (order === 0 && !isSource);
  isFromHigh = isHigh === isSource;
  key[2] = isHigh ? last : address[3]!;
  key[3] = isHigh ? address[3]! : last;
  key[4] = isHigh ? (stayingPort << 16) | port : (port << 16) | stayingPort;
  if (isIpv4) return;
  for (let i = 0; i < 3; i++) {
    const staying = key[restAt + i]!;
    key[5 + i] = isHigh ? staying : address[i]!;
    key[8 + i] = isHigh ? address[i]! : staying;
  }
}

/**
 * The entry of the loaded key, or NONE. `flowHash` is the packet's, the same for both directions.
 * One that has run out is removed. `nowMs`, here and below: a 32-bit integer that wraps.
 */
export function find(flowHash: number, nowMs: number): number {
  const bucket = bucketOf(flowHash);
  const hash = memory.zoneHash(flowHash, key[0]!, key[1]!);
  const base = indexAt + bucket * places;
  for (let place = hash & placeMask; ; place = (place + 1) & placeMask) {
    const word = words[base + place]!;
    if (word === 0) return NONE;
    if ((word ^ hash) >>> 16 !== 0) continue;
    const entry = bucket * perBucket + (word & 0xffff) - 1;
    if (!isKeyOf(entry)) continue;
    if (!hasRunOut(entry, nowMs)) return entry;
    words[bucketHead(bucket) + memory.HEAD_EXPIRED]! += 1;
    remove(entry);
    return NONE;
  }
}

/**
 * A new entry for the loaded key, which must not have one: the packet at hand is its first. NONE
 * when the bucket is full and nothing in it may go.
 */
export function insert(flowHash: number, nowMs: number): number {
  const bucket = bucketOf(flowHash);
  const head = bucketHead(bucket);
  const number = takeFree(bucket, head, nowMs);
  if (number < 0) {
    words[head + memory.HEAD_REFUSED]! += 1;
    return NONE;
  }
  const hash = memory.zoneHash(flowHash, key[0]!, key[1]!);
  const entry = bucket * perBucket + number;
  const at = entriesAt + (entry << ENTRY_SHIFT);
  words.fill(0, at, at + memory.ENTRY_WORDS);
  words[at + HASH] = hash;
  for (let i = 0; i < 5; i++) words[at + VNI_PROTOCOL + i] = key[i]!;
  if ((key[1]! & 0xff) === 6) {
    for (let i = 0; i < 6; i++) words[at + LOW_REST + i] = key[5 + i]!;
  }
  words[at + FLAGS] = isFromHigh ? FROM_HIGH : 0;
  words[at + EXPIRES] = nowMs | 0;
  words.fill(-1, at + DECISIONS, at + DECISIONS + DECISION_WORDS);
  link(bucket, hash, number);
  unreplied.append(bucket, number);
  words[head + memory.HEAD_IN_USE]! += 1;
  words[head + memory.HEAD_INSERTED]! += 1;
  return entry;
}

/**
 * As `insert`, when the packet at hand is an answer: its receiver is the one who began. The entry
 * counts as one without a reply until that one is heard (PICKED_UP).
 */
export function insertForAnswer(flowHash: number, nowMs: number): number {
  isFromHigh = !isFromHigh;
  const entry = insert(flowHash, nowMs);
  isFromHigh = !isFromHigh;
  if (entry === NONE) return NONE;
  setFlag(entry, PICKED_UP);
  words[bucketHead(bucketOf(flowHash)) + memory.HEAD_PICKED_UP]! += 1;
  return entry;
}

/** Forgets an entry. */
export function remove(entry: number): void {
  const at = entriesAt + (entry << ENTRY_SHIFT);
  const bucket = bucketOfEntry(entry);
  const number = entry - bucket * perBucket;
  const head = bucketHead(bucket);
  unlink(bucket, words[at + HASH]!, number);
  if ((words[at + FLAGS]! & REPLY_SEEN) === 0) unreplied.remove(bucket, number);
  words[at + PORT_VERSION] = NOT_IN_USE;
  words[at + HASH] = words[head + memory.HEAD_FREE]!;
  words[head + memory.HEAD_FREE] = number + 1;
  words[head + memory.HEAD_IN_USE]! -= 1;
}

/** Makes a bucket whole whose owner died, maybe in the middle of something: its entries stay. */
export function rebuild(bucket: number): void {
  const head = bucketHead(bucket);
  words.fill(0, indexAt + bucket * places, indexAt + (bucket + 1) * places);
  for (const word of memory.HEAD_LISTS) words[head + word] = 0;
  for (let number = 0; number < words[head + memory.HEAD_UNUSED]!; number++) {
    const entry = bucket * perBucket + number;
    const at = entriesAt + (entry << ENTRY_SHIFT);
    if (isInUse(entry)) {
      link(bucket, words[at + HASH]!, number);
      if (!hasFlag(entry, REPLY_SEEN)) unreplied.append(bucket, number);
      words[head + memory.HEAD_IN_USE]! += 1;
    } else {
      words[at + HASH] = words[head + memory.HEAD_FREE]!;
      words[head + memory.HEAD_FREE] = number + 1;
    }
  }
}

/** Looks at the next `count` entries of a bucket and removes those that have run out. */
export function sweep(bucket: number, count: number, nowMs: number): void {
  const head = bucketHead(bucket);
  const limit = Math.min(count, words[head + memory.HEAD_UNUSED]!);
  for (let i = 0; i < limit; i++) {
    const entry = nextSwept(bucket, head);
    if (!isInUse(entry) || !hasRunOut(entry, nowMs)) continue;
    words[head + memory.HEAD_EXPIRED]! += 1;
    remove(entry);
  }
}

/** The bucket that an entry is in. */
export function bucketOfEntry(entry: number): number {
  return Math.floor(entry / perBucket);
}

/** Whether the entry is in use, in the zone of that port. */
export function isInZone(entry: number, vni: number, port: number): boolean {
  const at = entriesAt + (entry << ENTRY_SHIFT);
  const isPort = words[at + PORT_VERSION]! >>> 8 === port && isInUse(entry);
  return isPort && words[at + VNI_PROTOCOL]! >>> 8 === vni;
}

/** Whether the packet of the loaded key runs against the entry's first one. */
export function isReply(entry: number): boolean {
  const isEntryFromHigh = (words[entriesAt + (entry << ENTRY_SHIFT) + FLAGS]! & FROM_HIGH) !== 0;
  return isEntryFromHigh !== isFromHigh;
}

export function hasFlag(entry: number, flag: number): boolean {
  return (words[entriesAt + (entry << ENTRY_SHIFT) + FLAGS]! & flag) !== 0;
}

export function setFlag(entry: number, flag: number): void {
  const at = entriesAt + (entry << ENTRY_SHIFT) + FLAGS;
  if ((flag & ~words[at]! & REPLY_SEEN) !== 0) {
    const bucket = bucketOfEntry(entry);
    unreplied.remove(bucket, entry - bucket * perBucket);
  }
  words[at]! |= flag;
}

/** Any flag but REPLY_SEEN: a reply stays seen. */
export function clearFlag(entry: number, flag: number): void {
  words[entriesAt + (entry << ENTRY_SHIFT) + FLAGS]! &= ~flag;
}

/** State of the protocol, 0–255; 0 at first. */
export function state(entry: number): number {
  return (words[entriesAt + (entry << ENTRY_SHIFT) + FLAGS]! >>> STATE_SHIFT) & 0xff;
}

export function setState(entry: number, value: number): void {
  const at = entriesAt + (entry << ENTRY_SHIFT) + FLAGS;
  words[at] = (words[at]! & ~(0xff << STATE_SHIFT)) | (value << STATE_SHIFT);
}

/** Milliseconds on the chassis's clock, 32 bits: only differences mean something. */
export function expires(entry: number): number {
  return words[entriesAt + (entry << ENTRY_SHIFT) + EXPIRES]!;
}

export function setExpires(entry: number, value: number): void {
  words[entriesAt + (entry << ENTRY_SHIFT) + EXPIRES] = value | 0;
}

/** Word 0–7 of the fast path's decision, -1 at first. */
export function decision(entry: number, word: number): number {
  return words[entriesAt + (entry << ENTRY_SHIFT) + DECISIONS + word]!;
}

export function setDecision(entry: number, word: number, value: number): void {
  words[entriesAt + (entry << ENTRY_SHIFT) + DECISIONS + word] = value;
}

/** Word 0–3 of what the TCP tracker knows of a direction, 0 the original and 1 the reply. */
export function tcpWord(entry: number, direction: number, word: number): number {
  return words[entriesAt + (entry << ENTRY_SHIFT) + TCP + (direction << 2) + word]!;
}

export function setTcpWord(entry: number, direction: number, word: number, value: number): void {
  words[entriesAt + (entry << ENTRY_SHIFT) + TCP + (direction << 2) + word] = value;
}

/** What the TCP tracker knows of the windows of a direction, 2 of a SYN's; 0–31, 0 at first. */
export function scale(entry: number, direction: number): number {
  const flags = words[entriesAt + (entry << ENTRY_SHIFT) + FLAGS]!;
  return (flags >>> (SCALE_SHIFT + direction * SCALE_BITS)) & SCALE_MASK;
}

export function setScale(entry: number, direction: number, value: number): void {
  const at = entriesAt + (entry << ENTRY_SHIFT) + FLAGS;
  const shift = SCALE_SHIFT + direction * SCALE_BITS;
  words[at] = (words[at]! & ~(SCALE_MASK << shift)) | (value << shift);
}

export function synEnd(entry: number): number {
  return words[entriesAt + (entry << ENTRY_SHIFT) + SYN_END]!;
}

export function setSynEnd(entry: number, value: number): void {
  words[entriesAt + (entry << ENTRY_SHIFT) + SYN_END] = value;
}

function bucketHead(bucket: number): number {
  return headsAt + bucket * memory.HEAD_WORDS;
}

function isKeyOf(entry: number): boolean {
  const at = entriesAt + (entry << ENTRY_SHIFT);
  const isSame =
    words[at + HIGH] === key[3] &&
    words[at + LOW] === key[2] &&
    words[at + PORTS] === key[4] &&
    words[at + VNI_PROTOCOL] === key[0] &&
    words[at + PORT_VERSION] === key[1];
  if (!isSame || (key[1]! & 0xff) === 4) return isSame;
  for (let i = 0; i < 3; i++) {
    if (words[at + LOW_REST + i] !== key[5 + i]) return false;
    if (words[at + HIGH_REST + i] !== key[8 + i]) return false;
  }
  return true;
}

function isInUse(entry: number): boolean {
  return words[entriesAt + (entry << ENTRY_SHIFT) + PORT_VERSION] !== NOT_IN_USE;
}

function hasRunOut(entry: number, nowMs: number): boolean {
  return ((expires(entry) - nowMs) | 0) < 0;
}

/** The number of an entry that can be filled, -1 when there is none. */
function takeFree(bucket: number, head: number, nowMs: number): number {
  if (words[head + memory.HEAD_FREE] === 0 && words[head + memory.HEAD_UNUSED]! < perBucket) {
    words[head + memory.HEAD_UNUSED]! += 1;
    return words[head + memory.HEAD_UNUSED]! - 1;
  }
  if (words[head + memory.HEAD_FREE] === 0) dropEarly(bucket, head, nowMs);
  const number = words[head + memory.HEAD_FREE]! - 1;
  if (number < 0) return -1;
  const at = entriesAt + ((bucket * perBucket + number) << ENTRY_SHIFT);
  words[head + memory.HEAD_FREE] = words[at + HASH]!;
  return number;
}

/**
 * Makes room in a full bucket: one that has run out, else the oldest without a reply. The sweep
 * finds the former; what it has not come to yet is looked for among a few only.
 */
function dropEarly(bucket: number, head: number, nowMs: number): void {
  for (let i = 0; i < EARLY_DROP_LOOKS; i++) {
    const entry = nextSwept(bucket, head);
    if (!hasRunOut(entry, nowMs)) continue;
    words[head + memory.HEAD_EXPIRED]! += 1;
    remove(entry);
    return;
  }
  const oldest = unreplied.oldest(bucket);
  if (oldest < 0) return;
  words[head + memory.HEAD_EARLY_DROPPED]! += 1;
  remove(bucket * perBucket + oldest);
}

function nextSwept(bucket: number, head: number): number {
  const number = words[head + memory.HEAD_SWEEP]!;
  words[head + memory.HEAD_SWEEP] =
    number + 1 >= words[head + memory.HEAD_UNUSED]! ? 0 : number + 1;
  return bucket * perBucket + number;
}

/** Puts an entry into the index. */
function link(bucket: number, hash: number, number: number): void {
  const base = indexAt + bucket * places;
  let place = hash & placeMask;
  while (words[base + place] !== 0) place = (place + 1) & placeMask;
  words[base + place] = (hash & 0xffff0000) | (number + 1);
}

/** Takes an entry out of the index and moves what was pushed away by it back. */
function unlink(bucket: number, hash: number, number: number): void {
  const base = indexAt + bucket * places;
  let gap = hash & placeMask;
  while ((words[base + gap]! & 0xffff) !== number + 1) gap = (gap + 1) & placeMask;
  for (let place = (gap + 1) & placeMask; ; place = (place + 1) & placeMask) {
    const word = words[base + place]!;
    if (word === 0) break;
    const entry = bucket * perBucket + (word & 0xffff) - 1;
    const home = words[entriesAt + (entry << ENTRY_SHIFT) + HASH]! & placeMask;
    // It may move if its home does not lie between the gap and its place.
    if (((place - home) & placeMask) < ((place - gap) & placeMask)) continue;
    words[base + gap] = word;
    gap = place;
  }
  words[base + gap] = 0;
}
