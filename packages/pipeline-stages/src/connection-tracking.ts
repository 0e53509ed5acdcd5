/**
 * The connection of a packet: looked up before the rules (stages 1 and 10), committed after them (5
 * and 13), in the zone of a logical port. Run by the worker that owns the packet's flow.
 *
 * The look-up changes nothing but what the packet's own words say; the commit finds the entry anew,
 * because others of the batch may have replaced it.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as connections from "@rhone/tables/connections";
import { KIND_VIF } from "@rhone/tables/ports";
import * as tracker from "@rhone/tables/tcp-tracker";
import * as timeouts from "@rhone/tables/timeouts";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmp from "@rhone/wire/icmp";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as tcp from "@rhone/wire/tcp";
import type { Core } from "./core.ts";
import { isIcmpV4, isIcmpV6 } from "./is-icmp.ts";
import { GOES_ON } from "./parse.ts";
import { isIcmpError, quoted, readQuotedPacket } from "./quoted-packet.ts";

const { PICKED_UP } = connections;
const view = poolViews().view;
/** What the last look-up found, whether or not the packet fits to it. */
let found = connections.NONE;

/** The entry that the last look-up found, also for a packet that is invalid there; or NONE. */
export function foundEntry(): number {
  return found;
}

/** Says in the packet's `connection` and `entry` words what it is in the zone of `port`. */
export function lookUp(core: Core, slot: number, port: number): void {
  found = connections.NONE;
  packet.setEntry(slot, connections.NONE);
  packet.setConnection(slot, isTrackedAt(core, slot, port) ? classify(core, slot, port) : 0);
}

/**
 * Makes or refreshes the packet's entry in the zone of `port`. GOES_ON, or the reason to drop for.
 */
export function commit(core: Core, slot: number, port: number): number {
  packet.setEntry(slot, connections.NONE);
  const isCommitted = packet.CONNECTION_NEW | packet.CONNECTION_ESTABLISHED;
  if ((packet.connection(slot) & isCommitted) === 0) return GOES_ON;
  const flags = packet.flags(slot);
  packet.setFlags(slot, flags & ~packet.FLAG_STATELESS);
  if ((flags & packet.FLAG_STATELESS) !== 0) return GOES_ON;
  loadKey(core, slot, port);
  const hash = packet.flowHash(slot);
  let entry = connections.find(hash, core.nowMs);
  const hasSegment = readSegment(slot);
  if (entry !== connections.NONE && hasSegment) {
    const verdict = tracker.classify(entry, connections.isReply(entry));
    if (verdict === tracker.INVALID) return GOES_ON; // Another of its batch was quicker.
    if (verdict === tracker.REOPENS) {
      connections.remove(entry);
      entry = connections.NONE;
    }
  }
  if (entry === connections.NONE) {
    if (isStale(core, port)) return DROP["knowledge-stale"];
    entry = begin(core, slot, hasSegment);
  }
  if (entry === connections.NONE) return DROP["connections-full"];
  packet.setEntry(slot, entry);
  const isReply = connections.isReply(entry);
  const isSure = isConnection(entry, isReply, hasSegment);
  if (!isReply) connections.clearFlag(entry, connections.BLOCKED);
  else if (isSure) connections.setFlag(entry, connections.REPLY_SEEN);
  const lifetime = hasSegment ? tracker.track(entry, isReply) : lifetimeOf(slot, entry);
  if (isSure && !isLaterTcp(slot)) connections.setExpires(entry, (core.nowMs + lifetime) | 0);
  return GOES_ON;
}

/**
 * A new entry for the packet whose key and segment are loaded, or NONE. Of an answer the receiver
 * began the connection, and nothing that its sender says prolongs it until that one is heard.
 */
function begin(core: Core, slot: number, hasSegment: boolean): number {
  const { nowMs } = core;
  const hash = packet.flowHash(slot);
  if (!hasSegment || !tracker.isUnderWay()) return connections.insert(hash, nowMs);
  const isAnswer = (packet.connection(slot) & packet.CONNECTION_REPLY) !== 0;
  const entry = isAnswer
    ? connections.insertForAnswer(hash, nowMs)
    : connections.insert(hash, nowMs);
  if (entry === connections.NONE) return entry;
  tracker.pickUp(entry);
  connections.setExpires(entry, (nowMs + timeouts.PICKED_UP_MS) | 0);
  return entry;
}

/**
 * Whether the entry is no guess, or none any more: who began the connection goes on with it. A
 * reset does not say so, and a rule may have sent it in his name; a SYN begins another one.
 */
function isConnection(entry: number, isReply: boolean, hasSegment: boolean): boolean {
  if (!connections.hasFlag(entry, PICKED_UP)) return true;
  if (isReply || !hasSegment || !tracker.isUnderWay()) return false;
  connections.clearFlag(entry, PICKED_UP);
  connections.setFlag(entry, connections.REPLY_SEEN);
  return true;
}

/** Whether what this chassis knows of the others is too old for what begins at `port`. */
function isStale(core: Core, port: number): boolean {
  const { datapaths, ports } = core.tables;
  const maxMs = datapaths.maxStaleMs(ports.datapath(port));
  return maxMs !== 0 && core.knowledge.ageMs(core.nowMs) > maxMs;
}

/** Blocks the connection of a packet that a rule refused, if there is one: replies stop too. */
export function block(slot: number): void {
  const entry = packet.entry(slot);
  if (entry !== connections.NONE) connections.setFlag(entry, connections.BLOCKED);
}

/** As `block`, for a copy that came here only for that. */
export function blockConnection(core: Core, slot: number, port: number): void {
  lookUp(core, slot, port);
  block(slot);
}

function isTrackedAt(core: Core, slot: number, port: number): boolean {
  return (
    (packet.flags(slot) & packet.FLAG_TRACKED) !== 0 && core.tables.ports.kind(port) === KIND_VIF
  );
}

function classify(core: Core, slot: number, port: number): number {
  if (packet.l4At(slot) !== 0 && isIcmpError(slot)) return classifyError(core, slot, port);
  loadKey(core, slot, port);
  const entry = connections.find(packet.flowHash(slot), core.nowMs);
  found = entry;
  const hasSegment = readSegment(slot);
  if (entry === connections.NONE) {
    if (hasSegment && tracker.isUnderWay() && core.pickUp.isOpen(core.nowMs)) {
      return packet.CONNECTION_FORGOTTEN;
    }
    return mayBegin(slot, hasSegment) ? packet.CONNECTION_NEW : packet.CONNECTION_INVALID;
  }
  const isReply = connections.isReply(entry);
  if (hasSegment) {
    const verdict = tracker.classify(entry, isReply);
    if (verdict === tracker.INVALID) return packet.CONNECTION_INVALID;
    if (verdict === tracker.REOPENS) return packet.CONNECTION_NEW;
  }
  packet.setEntry(slot, entry);
  const bits = bitsOf(entry);
  if (isReply) return packet.CONNECTION_ESTABLISHED | packet.CONNECTION_REPLY | bits;
  const isReplySeen = connections.hasFlag(entry, connections.REPLY_SEEN);
  return (isReplySeen ? packet.CONNECTION_ESTABLISHED : packet.CONNECTION_NEW) | bits;
}

function bitsOf(entry: number): number {
  const blocked = connections.hasFlag(entry, connections.BLOCKED) ? packet.CONNECTION_BLOCKED : 0;
  const isTranslated = connections.hasFlag(entry, connections.TRANSLATED);
  return isTranslated ? blocked | packet.CONNECTION_DNAT : blocked;
}

/** An ICMP error runs against the packet that it quotes. */
function classifyError(core: Core, slot: number, port: number): number {
  const entry = findQuotedConnection(core, slot, port);
  found = entry;
  if (entry === connections.NONE) return packet.CONNECTION_INVALID;
  packet.setEntry(slot, entry);
  const reply = connections.isReply(entry) ? 0 : packet.CONNECTION_REPLY;
  return packet.CONNECTION_RELATED | reply | bitsOf(entry);
}

/** The entry in the zone of `port` of the packet that an ICMP error quotes, or NONE. */
export function findQuotedConnection(core: Core, slot: number, port: number): number {
  if (!readQuotedPacket(slot, ipEnd(slot))) return connections.NONE;
  const ports = (quoted.sourcePort << 16) | quoted.destinationPort;
  loadKeyOf(core, port, packet.etherType(slot), quoted.l3At, quoted.protocol, ports);
  return connections.find(packet.flowHash(slot), core.nowMs);
}

/** The packet's entry in the zone of `port`, or NONE. */
export function findConnection(core: Core, slot: number, port: number): number {
  loadKey(core, slot, port);
  return connections.find(packet.flowHash(slot), core.nowMs);
}

/** Loads the packet's key in the zone of `port` for the connection table. */
export function loadKey(core: Core, slot: number, port: number): void {
  const l3At = packet.l3At(slot);
  const protocol = packet.protocol(slot);
  loadKeyOf(core, port, packet.etherType(slot), l3At, protocol, packet.ports(slot));
}

/** The packet whose key was loaded last, in the zone of `port`. */
export function loadZone(core: Core, port: number): void {
  const { ports, datapaths } = core.tables;
  connections.loadZone(datapaths.key(ports.datapath(port)), ports.key(port));
}

function loadKeyOf(
  core: Core,
  port: number,
  etherType: number,
  l3At: number,
  protocol: number,
  bothPorts: number,
): void {
  const { ports, datapaths } = core.tables;
  const vni = datapaths.key(ports.datapath(port));
  const key = ports.key(port);
  const sourcePort = bothPorts >>> 16;
  const destinationPort = bothPorts & 0xffff;
  if (etherType === ethernet.ETHERTYPE_IPV4) {
    const source = ipv4.source(view, l3At);
    const destination = ipv4.destination(view, l3At);
    connections.loadIpv4(vni, key, protocol, source, destination, sourcePort, destinationPort);
    return;
  }
  const sourceAt = l3At + ipv6.SOURCE;
  const destinationAt = l3At + ipv6.DESTINATION;
  connections.loadIpv6(vni, key, protocol, sourceAt, destinationAt, sourcePort, destinationPort);
}

/** Loads the TCP segment into the tracker; false when the packet is none, or a later fragment. */
export function readSegment(slot: number): boolean {
  const l4At = packet.l4At(slot);
  if (packet.protocol(slot) !== ipv4.PROTOCOL_TCP || l4At === 0) return false;
  tracker.read(l4At, Math.max(0, ipEnd(slot) - l4At - tcp.headerSize(view, l4At)));
  return true;
}

/** Byte offset behind the IP packet, as its own header has it. */
export function ipEnd(slot: number): number {
  const l3At = packet.l3At(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    return l3At + ipv4.totalLength(view, l3At);
  }
  return l3At + ipv6.HEADER_SIZE + ipv6.payloadLength(view, l3At);
}

/** Answers without a question begin nothing, nor do segments from the middle of nowhere. */
function mayBegin(slot: number, hasSegment: boolean): boolean {
  if (hasSegment) return tracker.mayBegin();
  const l4At = packet.l4At(slot);
  if (l4At === 0) return true;
  if (isIcmpV4(slot)) return icmp.isRequest(view, l4At);
  return !isIcmpV6(slot) || icmpv6.type(view, l4At) !== icmpv6.ECHO_REPLY;
}

function lifetimeOf(slot: number, entry: number): number {
  if (packet.protocol(slot) === ipv4.PROTOCOL_UDP) {
    const isReplied = connections.hasFlag(entry, connections.REPLY_SEEN);
    return isReplied ? timeouts.UDP_REPLIED_MS : timeouts.UDP_MS;
  }
  return isIcmpV4(slot) || isIcmpV6(slot) ? timeouts.ICMP_MS : timeouts.OTHER_MS;
}

/** A later fragment of TCP says nothing of the connection's state, so its timeout stays. */
function isLaterTcp(slot: number): boolean {
  return packet.protocol(slot) === ipv4.PROTOCOL_TCP && packet.l4At(slot) === 0;
}
