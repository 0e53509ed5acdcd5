/**
 * Finds the headers of a frame and remembers where they are; computes the flow hash and the ports.
 *
 * Runs where a packet enters a worker: in stage 0 for a frame from a device, before the resumed
 * stage for a frame from a hand-off. After it, no later stage reads past the frame's end.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as arp from "@rhone/wire/arp";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmp from "@rhone/wire/icmp";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as tcp from "@rhone/wire/tcp";
import * as udp from "@rhone/wire/udp";
import * as vlan from "@rhone/wire/vlan";
import { flowHash, mix, sumAt } from "./flow-hash.ts";
import { isIcmpV4, isIcmpV6 } from "./is-icmp.ts";
import { isTracked } from "./is-tracked.ts";
import { isIcmpError, quotedFlowHash } from "./quoted-packet.ts";

/** What `parse` and the per-packet halves of the stages answer when the packet goes on. */
export const GOES_ON = -1;

const VLAN_TAGS_MAX = 2;
const view = poolViews().view;

/** GOES_ON, or the reason to drop the packet for. */
export function parse(slot: number): number {
  const reason = parseHeaders(slot);
  if (reason !== GOES_ON) return reason;
  if (isTracked(slot)) packet.setFlags(slot, packet.flags(slot) | packet.FLAG_TRACKED);
  return GOES_ON;
}

function parseHeaders(slot: number): number {
  const at = packet.frameAt(slot);
  const end = at + packet.length(slot);
  if (!ethernet.isValid(view, at, end)) return DROP["malformed-ethernet"];
  if (ethernet.hasGroupSource(view, at)) return DROP["malformed-ethernet"];
  let etherType = ethernet.etherType(view, at);
  let l3At = at + ethernet.HEADER_SIZE;
  for (let tags = 0; isVlan(etherType); tags++) {
    if (tags === VLAN_TAGS_MAX || !vlan.isValid(view, l3At, end)) return DROP["malformed-ethernet"];
    etherType = vlan.etherType(view, l3At);
    l3At += vlan.SIZE;
  }
  packet.setEtherType(slot, etherType);
  packet.setL3At(slot, 0);
  packet.setL4At(slot, 0);
  packet.setProtocol(slot, -1);
  packet.setFlags(slot, packet.flags(slot) & ~(packet.FLAG_TRACKED | packet.FLAG_FRAGMENT));
  if (etherType === ethernet.ETHERTYPE_IPV4) return parseIpv4(slot, l3At, end);
  if (etherType === ethernet.ETHERTYPE_IPV6) return parseIpv6(slot, l3At, end);
  packet.setFlowHash(slot, hashMacs(at));
  if (etherType === ethernet.ETHERTYPE_ARP) {
    if (!arp.isValid(view, l3At, end)) return DROP["malformed-arp"];
    packet.setL3At(slot, l3At);
  }
  return GOES_ON;
}

function isVlan(etherType: number): boolean {
  return etherType === ethernet.ETHERTYPE_VLAN || etherType === ethernet.ETHERTYPE_QINQ;
}

function parseIpv4(slot: number, at: number, end: number): number {
  if (!ipv4.isValid(view, at, end) || !ipv4.headerChecksumIsValid(view, at)) {
    return DROP["malformed-ipv4"];
  }
  packet.setL3At(slot, at);
  const protocol = ipv4.protocol(view, at);
  packet.setProtocol(slot, protocol);
  const addresses = sumAt(at, true);
  const isFragment = ipv4.isFragment(view, at);
  if (isFragment) beginFragment(slot, addresses, protocol);
  if (ipv4.fragmentOffset(view, at) !== 0) return GOES_ON;
  const l4At = at + ipv4.headerSize(view, at);
  return parseTransport(slot, l4At, at + ipv4.totalLength(view, at), addresses, !isFragment);
}

function parseIpv6(slot: number, at: number, end: number): number {
  if (!ipv6.isValid(view, at, end)) return DROP["malformed-ipv6"];
  const isMapped =
    ipv6.isMappedIpv4(view, at + ipv6.SOURCE) || ipv6.isMappedIpv4(view, at + ipv6.DESTINATION);
  if (isMapped) return DROP["malformed-ipv6"];
  packet.setL3At(slot, at);
  const packetEnd = at + ipv6.HEADER_SIZE + ipv6.payloadLength(view, at);
  const addresses = sumAt(at, false);
  const l4At = ipv6.findTransport(view, at, packetEnd);
  if (l4At < 0) return DROP["malformed-ipv6"];
  const protocol = ipv6.transportProtocol(view, at, packetEnd);
  packet.setProtocol(slot, protocol);
  const isFragment = ipv6.isFragment(view, at, packetEnd);
  if (isFragment) beginFragment(slot, addresses, protocol);
  if (l4At === 0) return GOES_ON;
  return parseTransport(slot, l4At, packetEnd, addresses, !isFragment);
}

/** It has a hash without ports, so that all fragments of a packet meet at one worker. */
function beginFragment(slot: number, addresses: number, protocol: number): void {
  packet.setFlags(slot, packet.flags(slot) | packet.FLAG_FRAGMENT);
  packet.setFlowHash(slot, flowHash(addresses, protocol, 0, 0));
}

/** Ports and, of a packet in one piece, the flow hash. */
function parseTransport(
  slot: number,
  at: number,
  end: number,
  addresses: number,
  isWhole: boolean,
): number {
  const protocol = packet.protocol(slot);
  let source = 0;
  let destination = 0;
  if (protocol === ipv4.PROTOCOL_TCP) {
    // Only the first eight bytes are promised in a first fragment (RFC 791); more are needed here.
    if (!tcp.isValid(view, at, end)) return DROP["malformed-transport"];
    source = tcp.sourcePort(view, at);
    destination = tcp.destinationPort(view, at);
  } else if (protocol === ipv4.PROTOCOL_UDP) {
    if (!udp.isValid(view, at, end)) return DROP["malformed-transport"];
    source = udp.sourcePort(view, at);
    destination = udp.destinationPort(view, at);
  } else if (isIcmpV4(slot)) {
    if (!icmp.isValid(view, at, end)) return DROP["malformed-transport"];
    if (icmp.isEcho(view, at)) source = destination = icmp.identifier(view, at);
  } else if (isIcmpV6(slot)) {
    if (!icmpv6.isValid(view, at, end)) return DROP["malformed-transport"];
    if (icmpv6.isEcho(view, at)) source = destination = icmpv6.identifier(view, at);
  }
  packet.setL4At(slot, at);
  packet.setPorts(slot, (source << 16) | destination);
  if (!isWhole) return GOES_ON;
  const hash = flowHash(addresses, protocol, source, destination);
  packet.setFlowHash(slot, isIcmpError(slot) ? quotedFlowHash(slot, end, hash) : hash);
  return GOES_ON;
}

/** The same for both directions of a flow, as is every hash here. */
function hashMacs(at: number): number {
  const destination = ethernet.destinationHigh(view, at) ^ ethernet.destinationLow(view, at);
  const source = ethernet.sourceHigh(view, at) ^ ethernet.sourceLow(view, at);
  return mix(mix(destination) + mix(source));
}
