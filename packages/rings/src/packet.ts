/**
 * What the data plane knows about a packet in flight: words at the start of its slot.
 *
 *   word  name          meaning
 *    0    frameAt       byte offset of the frame's first byte in the pool
 *    1    length        bytes of the frame
 *    2    stage         stage to run next, 0–15
 *    3    flags         FLAG_… bits below
 *    4    inPort        row of the logical port it came in by, NO_PORT none
 *    5    outPort       row of the logical port it leaves by, NO_PORT not yet known, FLOOD every
 *                       port of the datapath
 *    6    datapath      row of the logical switch or router that it is in
 *    7    generation    of the tables that the rows above belong to; between workers: their edition
 *    8    identity      security identity of the source, 0 unknown
 *    9    flowHash      of the addresses, protocol and ports: the same for all packets of a flow
 *   10    handOffsLeft  hand-offs that are still allowed, HAND_OFFS_MAX at first
 *   11    origin        short id of the chassis where the packet came in
 *   12    connection    connection summary bits of the stamp
 *   13    ttlDecrements routers passed so far
 *   14    device        index of the device it came in by, -1 from a tunnel or another worker
 *   15    etherType     of the innermost header behind VLAN tags
 *   16    l3At          byte offset of the IP, IPv6 or ARP header in the pool, 0 none
 *   17    l4At          byte offset of the transport header, 0 none (non-first fragment, not IP)
 *   18    protocol      IP protocol number of the header at l4At, -1 none
 *   19    rule         counter index of the rule that decided in the last rules stage, -1 none
 *   20    gsoType       VIRTIO_NET_HDR_GSO_…, 0 none: the frame is a super-frame
 *   21    gsoSize       payload bytes of each segment of a super-frame
 *   22    checksumStart bytes from the frame's start to where an unfinished checksum begins, 0 none
 *   23    checksumOffset  bytes from there to where the checksum goes
 *   24    headerLength  bytes of headers that a super-frame repeats in each segment; a hint
 *   25    ports         source and destination port of a later fragment, as its first one told
 *   26    entry         connection entry that the last look-up found, -1 none
 *   27    ringHopsLeft  hand-offs between workers of this chassis that are still allowed
 *   28    enteredBy    row of the logical port that it entered this chassis by, NO_PORT none
 *   29    firstHop     row of the port that its frame was addressed to when it entered
 *   30    backend      number within the VIP of its backend, of a packet with FLAG_LOAD_BALANCED
 *   32 …  translatedFrom  address and port that a packet with FLAG_TRANSLATED was sent to
 *
 * From word 32 on lies the headroom, which only a stamp to another chassis fills so far.
 *
 * Run by the worker that owns the packet, and by nobody else until it hands the slot over.
 */
import { FRAME_OFFSET, poolViews, SLOT_SHIFT } from "./pool.ts";

export const NO_PORT = -1;
/** As an egress port: a copy to every port of the datapath. */
export const FLOOD = -2;

export const FLAG_ROUTED = 1; // A router has handled it.
/** The commit stage behind the rules leaves this packet alone: on the wire, ct-done. */
export const FLAG_STATELESS = 2;
export const FLAG_LOAD_BALANCED = 4;
export const FLAG_MIRRORED = 8;
// The four above travel in the stamp, those below end with the worker's batch.
/** An answer that was made here: it may leave by the port that the question came in by. */
export const FLAG_REPLY_TO_INGRESS = 16;
export const FLAG_FROM_TUNNEL = 32;
/** A fragment whose flow is known: `ports` and `flowHash` are those of the whole packet. */
export const FLAG_FRAGMENT_RESOLVED = 64;
/** Part of a flow whose connection is tracked, by the worker that owns it. */
export const FLAG_TRACKED = 256;
export const FLAG_FRAGMENT = 512;
/** One of its stages ran where that stage was placed, so its walk says nothing of others. */
export const FLAG_PLACED = 128;
/** A copy of a packet that a rule refused, on its way to where its connection is blocked. */
export const FLAG_DENIED = 4096;
/** Its headers were found already. */
export const FLAG_PARSED = 1024;
/** A rule's answer to a packet that it rejected: no rule is asked about it. */
export const FLAG_FROM_RULE = 2048;
/** Its destination was translated, and the connection that it is of now is not yet committed. */
export const FLAG_TRANSLATED = 8192;
/** It goes through a ring without a stamp: who takes it knows the tables that its rows are of. */
export const FLAG_UNSTAMPED = 16384;
/** Its stamp is of tables that are newer than all that this chassis had when it came. */
export const FLAG_AHEAD = 32768;
export const FLAGS_ON_THE_WIRE = 15;

// Bits of `connection`: what the look-up says of a packet. They travel in the stamp, for rules that
// are placed elsewhere.
export const CONNECTION_NEW = 1;
export const CONNECTION_ESTABLISHED = 2;
export const CONNECTION_RELATED = 4;
export const CONNECTION_REPLY = 8;
export const CONNECTION_INVALID = 16;
export const CONNECTION_SNAT = 32;
export const CONNECTION_DNAT = 64;
/** The entry was blocked by a rule. */
export const CONNECTION_BLOCKED = 128;
/** No entry, and under way, where connections may have been forgotten. Else it is as new. */
export const CONNECTION_FORGOTTEN = CONNECTION_NEW | CONNECTION_ESTABLISHED;

const FRAME_AT = 0;
const LENGTH = 1;
const STAGE = 2;
const FLAGS = 3;
const IN_PORT = 4;
const OUT_PORT = 5;
const DATAPATH = 6;
const GENERATION = 7;
const IDENTITY = 8;
const FLOW_HASH = 9;
const HAND_OFFS_LEFT = 10;
const ORIGIN = 11;
const CONNECTION = 12;
const TTL_DECREMENTS = 13;
const DEVICE = 14;
const ETHER_TYPE = 15;
const L3_AT = 16;
const L4_AT = 17;
const PROTOCOL = 18;
const RULE = 19;
const GSO_TYPE = 20;
const GSO_SIZE = 21;
const CHECKSUM_START = 22;
const CHECKSUM_OFFSET = 23;
const HEADER_LENGTH = 24;
const PORTS = 25;
const ENTRY = 26;
const RING_HOPS_LEFT = 27;
const ENTERED_BY = 28;
const FIRST_HOP = 29;
const BACKEND = 30;
const WORD_COUNT = 31;
const TRANSLATED_FROM = 32;
const TRANSLATED_FROM_PORT = 36;

const WORD_SHIFT = SLOT_SHIFT - 2;
const words = poolViews().words;

/** Byte offset where a frame starts that nothing was put in front of. */
export function defaultFrameAt(slot: number): number {
  return (slot << SLOT_SHIFT) + FRAME_OFFSET;
}

/**
 * Resets every word for a frame of `length` bytes that has just arrived by `device`. One store a
 * word: `fill` takes 50 ns for so few.
 */
export function begin(slot: number, frameAt: number, length: number, device: number): void {
  const base = slot << WORD_SHIFT;
  words[base + FRAME_AT] = frameAt;
  words[base + LENGTH] = length;
  words[base + STAGE] = 0;
  words[base + FLAGS] = 0;
  words[base + IN_PORT] = NO_PORT;
  words[base + OUT_PORT] = NO_PORT;
  words[base + DATAPATH] = -1;
  words[base + GENERATION] = 0;
  words[base + IDENTITY] = 0;
  words[base + FLOW_HASH] = 0;
  words[base + HAND_OFFS_LEFT] = HAND_OFFS_MAX;
  words[base + ORIGIN] = 0;
  words[base + CONNECTION] = 0;
  words[base + TTL_DECREMENTS] = 0;
  words[base + DEVICE] = device;
  words[base + ETHER_TYPE] = 0;
  words[base + L3_AT] = 0;
  words[base + L4_AT] = 0;
  words[base + PROTOCOL] = -1;
  words[base + RULE] = -1;
  words[base + GSO_TYPE] = 0;
  words[base + GSO_SIZE] = 0;
  words[base + CHECKSUM_START] = 0;
  words[base + CHECKSUM_OFFSET] = 0;
  words[base + HEADER_LENGTH] = 0;
  words[base + PORTS] = 0;
  words[base + ENTRY] = -1;
  words[base + RING_HOPS_LEFT] = RING_HOPS_MAX;
  words[base + ENTERED_BY] = NO_PORT;
  words[base + FIRST_HOP] = 0;
}

/** Copies every word of `from`, except where its frame starts. */
export function copyMetadata(from: number, to: number): void {
  const source = from << WORD_SHIFT;
  const target = to << WORD_SHIFT;
  for (let i = LENGTH; i < WORD_COUNT; i++) words[target + i] = words[source + i]!;
}

/**
 * Times that a packet may cross to another chassis; at 0 the next one is a named drop. One is the
 * normal way; when every stage that can be placed is at another chassis, it takes nine.
 */
export const HAND_OFFS_MAX = 10;
/** Times that a packet may go from worker to worker on one chassis, likewise. */
export const RING_HOPS_MAX = 16;

export function frameAt(slot: number): number {
  return words[(slot << WORD_SHIFT) + FRAME_AT]!;
}

export function setFrameAt(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + FRAME_AT] = value;
}

export function length(slot: number): number {
  return words[(slot << WORD_SHIFT) + LENGTH]!;
}

export function setLength(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + LENGTH] = value;
}

export function stage(slot: number): number {
  return words[(slot << WORD_SHIFT) + STAGE]!;
}

export function setStage(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + STAGE] = value;
}

export function flags(slot: number): number {
  return words[(slot << WORD_SHIFT) + FLAGS]!;
}

export function setFlags(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + FLAGS] = value;
}

export function inPort(slot: number): number {
  return words[(slot << WORD_SHIFT) + IN_PORT]!;
}

export function setInPort(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + IN_PORT] = value;
}

export function outPort(slot: number): number {
  return words[(slot << WORD_SHIFT) + OUT_PORT]!;
}

export function setOutPort(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + OUT_PORT] = value;
}

export function datapath(slot: number): number {
  return words[(slot << WORD_SHIFT) + DATAPATH]!;
}

export function setDatapath(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + DATAPATH] = value;
}

export function generation(slot: number): number {
  return words[(slot << WORD_SHIFT) + GENERATION]! >>> 0;
}

export function setGeneration(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + GENERATION] = value;
}

export function identity(slot: number): number {
  return words[(slot << WORD_SHIFT) + IDENTITY]! >>> 0;
}

export function setIdentity(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + IDENTITY] = value;
}

export function flowHash(slot: number): number {
  return words[(slot << WORD_SHIFT) + FLOW_HASH]!;
}

export function setFlowHash(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + FLOW_HASH] = value;
}

export function handOffsLeft(slot: number): number {
  return words[(slot << WORD_SHIFT) + HAND_OFFS_LEFT]!;
}

export function setHandOffsLeft(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + HAND_OFFS_LEFT] = value;
}

export function origin(slot: number): number {
  return words[(slot << WORD_SHIFT) + ORIGIN]!;
}

export function setOrigin(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + ORIGIN] = value;
}

export function connection(slot: number): number {
  return words[(slot << WORD_SHIFT) + CONNECTION]!;
}

export function setConnection(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + CONNECTION] = value;
}

export function ttlDecrements(slot: number): number {
  return words[(slot << WORD_SHIFT) + TTL_DECREMENTS]!;
}

export function setTtlDecrements(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + TTL_DECREMENTS] = value;
}

export function device(slot: number): number {
  return words[(slot << WORD_SHIFT) + DEVICE]!;
}

export function setDevice(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + DEVICE] = value;
}

export function etherType(slot: number): number {
  return words[(slot << WORD_SHIFT) + ETHER_TYPE]!;
}

export function setEtherType(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + ETHER_TYPE] = value;
}

export function l3At(slot: number): number {
  return words[(slot << WORD_SHIFT) + L3_AT]!;
}

export function setL3At(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + L3_AT] = value;
}

export function l4At(slot: number): number {
  return words[(slot << WORD_SHIFT) + L4_AT]!;
}

export function setL4At(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + L4_AT] = value;
}

export function protocol(slot: number): number {
  return words[(slot << WORD_SHIFT) + PROTOCOL]!;
}

export function setProtocol(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + PROTOCOL] = value;
}

export function gsoType(slot: number): number {
  return words[(slot << WORD_SHIFT) + GSO_TYPE]!;
}

export function setGsoType(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + GSO_TYPE] = value;
}

export function gsoSize(slot: number): number {
  return words[(slot << WORD_SHIFT) + GSO_SIZE]!;
}

export function setGsoSize(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + GSO_SIZE] = value;
}

export function checksumStart(slot: number): number {
  return words[(slot << WORD_SHIFT) + CHECKSUM_START]!;
}

export function setChecksumStart(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + CHECKSUM_START] = value;
}

export function checksumOffset(slot: number): number {
  return words[(slot << WORD_SHIFT) + CHECKSUM_OFFSET]!;
}

export function setChecksumOffset(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + CHECKSUM_OFFSET] = value;
}

export function headerLength(slot: number): number {
  return words[(slot << WORD_SHIFT) + HEADER_LENGTH]!;
}

export function setHeaderLength(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + HEADER_LENGTH] = value;
}

export function rule(slot: number): number {
  return words[(slot << WORD_SHIFT) + RULE]!;
}

export function setRule(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + RULE] = value;
}

export function ports(slot: number): number {
  return words[(slot << WORD_SHIFT) + PORTS]!;
}

export function setPorts(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + PORTS] = value;
}

export function entry(slot: number): number {
  return words[(slot << WORD_SHIFT) + ENTRY]!;
}

export function setEntry(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + ENTRY] = value;
}

export function ringHopsLeft(slot: number): number {
  return words[(slot << WORD_SHIFT) + RING_HOPS_LEFT]!;
}

export function setRingHopsLeft(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + RING_HOPS_LEFT] = value;
}

export function enteredBy(slot: number): number {
  return words[(slot << WORD_SHIFT) + ENTERED_BY]!;
}

export function setEnteredBy(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + ENTERED_BY] = value;
}

export function firstHop(slot: number): number {
  return words[(slot << WORD_SHIFT) + FIRST_HOP]!;
}

export function setFirstHop(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + FIRST_HOP] = value;
}

export function backend(slot: number): number {
  return words[(slot << WORD_SHIFT) + BACKEND]!;
}

export function setBackend(slot: number, value: number): void {
  words[(slot << WORD_SHIFT) + BACKEND] = value;
}

/** `address` is four words. */
export function setTranslatedFrom(slot: number, address: Int32Array, port: number): void {
  const base = slot << WORD_SHIFT;
  for (let i = 0; i < 4; i++) words[base + TRANSLATED_FROM + i] = address[i]!;
  words[base + TRANSLATED_FROM_PORT] = port;
}

/** Copies the address to four words and returns the port. */
export function copyTranslatedFrom(slot: number, address: Int32Array): number {
  const base = slot << WORD_SHIFT;
  for (let i = 0; i < 4; i++) address[i] = words[base + TRANSLATED_FROM + i]!;
  return words[base + TRANSLATED_FROM_PORT]!;
}
