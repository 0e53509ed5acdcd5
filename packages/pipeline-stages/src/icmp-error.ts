/**
 * Turns a packet into the ICMP or ICMPv6 error about it (RFC 792, RFC 1812 §4.3.2, RFC 4443 §2.4).
 *
 * The error's headers are written in front of the packet's own IP header, which so becomes the
 * quotation without being moved; the slot's headroom has the room.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmp from "@rhone/wire/icmp";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import type { Core } from "./core.ts";

const HOP_LIMIT = 64;
const ICMP_SIZE = 8;
const IPV4_ERROR_MAX = 576; // RFC 1812 §4.3.2.3: as much as fits without exceeding 576 bytes.
const IPV6_ERROR_MAX = 1280; // RFC 4443 §2.4 (c): the minimum IPv6 MTU.

/** What an error says: its type and code in both protocols. */
export interface ErrorKind {
  readonly type4: number;
  readonly code4: number;
  readonly type6: number;
  readonly code6: number;
}

export const TIME_EXCEEDED: ErrorKind = { type4: 11, code4: 0, type6: 3, code6: 0 };
export const NO_ROUTE: ErrorKind = { type4: 3, code4: 0, type6: 1, code6: 0 };
export const HOST_UNREACHABLE: ErrorKind = { type4: 3, code4: 1, type6: 1, code6: 3 };
export const PORT_UNREACHABLE: ErrorKind = { type4: 3, code4: 3, type6: 1, code6: 4 };
/** Fragmentation needed (RFC 1191) and packet too big. */
export const TOO_BIG: ErrorKind = { type4: 3, code4: 4, type6: 2, code6: 0 };

const view = poolViews().view;
/** Where the error comes from: four words, set by the caller before `turnIntoError`. */
const source = new Int32Array(4);
const sender = new Int32Array(4);

/** Makes the first address of the port's that fits the packet's protocol the error's source. */
export function sourceFromPort(core: Core, slot: number, port: number): boolean {
  const { ports } = core.tables;
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    source[3] = ports.firstIpv4(port);
    return source[3] !== 0;
  }
  const index = ports.firstIpv6(port);
  if (index < 0) return false;
  for (let i = 0; i < 4; i++) source[i] = ports.addressWord(port, index, i);
  return true;
}

/**
 * Makes the packet's own destination the error's source: for a bridged packet no router answers.
 */
export function sourceFromDestination(slot: number): void {
  const at = packet.l3At(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) source[3] = ipv4.destination(view, at);
  else for (let i = 0; i < 4; i++) source[i] = ipv6.destinationWord(view, at, i);
}

/**
 * Rewrites the packet into the error with a source as set before. `extra` is the second word of the
 * ICMP header (an MTU, or 0). False, and nothing changed, when no error may be sent about it
 * (RFC 1812 §4.3.2.7, RFC 4443 §2.4 (e)) or the meter refuses.
 */
export function turnIntoError(core: Core, slot: number, kind: ErrorKind, extra: number): boolean {
  const isIpv4 = packet.etherType(slot) === ethernet.ETHERTYPE_IPV4;
  const mayAnswer = isIpv4 ? mayAnswerIpv4(slot) : mayAnswerIpv6(slot, kind);
  if (!mayAnswer || !core.replyMeter.admits(core.nowMs)) return false;
  const frameAt = packet.frameAt(slot);
  const dHigh = ethernet.sourceHigh(view, frameAt);
  const dLow = ethernet.sourceLow(view, frameAt);
  const sHigh = ethernet.destinationHigh(view, frameAt);
  const sLow = ethernet.destinationLow(view, frameAt);
  const etherType = packet.etherType(slot);
  const l4At = packet.l3At(slot) - ICMP_SIZE;
  const end = isIpv4 ? writeIpv4(slot, l4At, kind, extra) : writeIpv6(slot, l4At, kind, extra);
  const l3At = l4At - (isIpv4 ? ipv4.HEADER_SIZE : ipv6.HEADER_SIZE);
  const newFrameAt = l3At - ethernet.HEADER_SIZE;
  ethernet.write(view, newFrameAt, dHigh, dLow, sHigh, sLow, etherType);
  packet.setFrameAt(slot, newFrameAt);
  packet.setLength(slot, end - newFrameAt);
  packet.setL3At(slot, l3At);
  packet.setL4At(slot, l4At);
  packet.setProtocol(slot, isIpv4 ? ipv4.PROTOCOL_ICMP : ipv4.PROTOCOL_ICMPV6);
  packet.setGsoType(slot, 0);
  packet.setChecksumStart(slot, 0);
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_REPLY_TO_INGRESS);
  return true;
}

function writeIpv4(slot: number, l4At: number, kind: ErrorKind, extra: number): number {
  const quoted = packet.l3At(slot);
  const l3At = l4At - ipv4.HEADER_SIZE;
  const quotedLength = Math.min(
    ipv4.totalLength(view, quoted),
    IPV4_ERROR_MAX - ICMP_SIZE - ipv4.HEADER_SIZE,
  );
  const end = quoted + quotedLength;
  const destination = ipv4.source(view, quoted);
  icmp.write(view, l4At, kind.type4, kind.code4, extra);
  icmp.updateChecksum(view, l4At, end);
  ipv4.write(view, l3At, end - l3At, HOP_LIMIT, ipv4.PROTOCOL_ICMP, source[3]!, destination);
  return end;
}

function writeIpv6(slot: number, l4At: number, kind: ErrorKind, extra: number): number {
  const quoted = packet.l3At(slot);
  const l3At = l4At - ipv6.HEADER_SIZE;
  const quotedLength = Math.min(
    ipv6.HEADER_SIZE + ipv6.payloadLength(view, quoted),
    IPV6_ERROR_MAX - ICMP_SIZE - ipv6.HEADER_SIZE,
  );
  const end = quoted + quotedLength;
  ipv6.write(view, l3At, end - l4At, ipv4.PROTOCOL_ICMPV6, HOP_LIMIT);
  for (let i = 0; i < 4; i++) {
    ipv6.setDestinationWord(view, l3At, i, ipv6.sourceWord(view, quoted, i));
    ipv6.setSourceWord(view, l3At, i, source[i]!);
  }
  icmpv6.write(view, l4At, kind.type6, kind.code6);
  view.setInt32(l4At + 4, extra);
  icmpv6.updateChecksum(view, l3At, l4At, end);
  return end;
}

function mayAnswerIpv4(slot: number): boolean {
  const at = packet.l3At(slot);
  if (ipv4.fragmentOffset(view, at) !== 0) return false;
  if (!isUnicastIpv4(ipv4.source(view, at)) || !isUnicastIpv4(ipv4.destination(view, at))) {
    return false;
  }
  if (packet.protocol(slot) !== ipv4.PROTOCOL_ICMP) return true;
  const type = icmp.type(view, packet.l4At(slot));
  return type === icmp.ECHO_REQUEST || type === icmp.ECHO_REPLY;
}

function mayAnswerIpv6(slot: number, kind: ErrorKind): boolean {
  const at = packet.l3At(slot);
  for (let i = 0; i < 4; i++) sender[i] = ipv6.sourceWord(view, at, i);
  if (!isUnicastIpv6(sender)) return false;
  const isMulticast = ipv6.destinationWord(view, at, 0) >>> 24 === 0xff;
  if (isMulticast && kind !== TOO_BIG) return false;
  if (packet.protocol(slot) !== ipv4.PROTOCOL_ICMPV6) return true;
  const l4At = packet.l4At(slot);
  return l4At !== 0 && icmpv6.type(view, l4At) >= icmpv6.ECHO_REQUEST; // Errors are below 128.
}

/** Neither 0.0.0.0/8, 127.0.0.0/8, multicast, class E nor broadcast. */
export function isUnicastIpv4(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

/** Neither multicast, nor the unspecified, nor the loopback address (RFC 4291 §2.4). */
export function isUnicastIpv6(address: Int32Array): boolean {
  if (address[0]! >>> 24 === 0xff) return false;
  const isLast = (address[0]! | address[1]! | address[2]!) === 0;
  return !isLast || address[3]! >>> 1 !== 0;
}
