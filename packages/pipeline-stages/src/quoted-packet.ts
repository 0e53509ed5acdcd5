/**
 * The packet that an ICMP or ICMPv6 error quotes (RFC 792, RFC 4443 §3): the connection that the
 * error is about. Run by the worker that owns the error, after `parse` found its transport header.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmp from "@rhone/wire/icmp";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import { flowHash, sumAt } from "./flow-hash.ts";
import { isIcmpV4, isIcmpV6 } from "./is-icmp.ts";

const ERROR_HEADER_SIZE = 8; // bytes, of both protocols, in front of the quotation
const PORTS_SIZE = 4; // bytes: all that is read of the quoted transport header, but for ICMP
const ECHO_SIZE = 8; // bytes: type to identifier and sequence

const view = poolViews().view;

/** What `readQuotedPacket` found; valid until its next call. */
export const quoted = {
  protocol: 0,
  /** Byte offset of the quoted IP header. */
  l3At: 0,
  /** Of its transport header. */
  l4At: 0,
  sourcePort: 0,
  destinationPort: 0,
};

/** Whether the packet is an ICMP or ICMPv6 error; after its transport header was found. */
export function isIcmpError(slot: number): boolean {
  if (isIcmpV4(slot)) return icmp.isError(view, packet.l4At(slot));
  return isIcmpV6(slot) && icmpv6.isError(view, packet.l4At(slot));
}

/** Fills `quoted` from an error whose IP packet ends at `end`; false when it quotes too little. */
export function readQuotedPacket(slot: number, end: number): boolean {
  const at = packet.l4At(slot) + ERROR_HEADER_SIZE;
  quoted.l3At = at;
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    // The quotation is cut off, so its header's length field says more than there is.
    if (end - at < ipv4.HEADER_SIZE || view.getUint8(at) >>> 4 !== 4) return false;
    const size = ipv4.headerSize(view, at);
    if (size < ipv4.HEADER_SIZE || ipv4.fragmentOffset(view, at) !== 0) return false;
    quoted.protocol = ipv4.protocol(view, at);
    return readPorts(at + size, end, ipv4.PROTOCOL_ICMP, icmp.ECHO_REQUEST, icmp.ECHO_REPLY);
  }
  if (end - at < ipv6.HEADER_SIZE || view.getUint8(at) >>> 4 !== 6) return false;
  const l4At = ipv6.findTransport(view, at, end);
  if (l4At <= 0) return false;
  quoted.protocol = ipv6.transportProtocol(view, at, end);
  return readPorts(l4At, end, ipv4.PROTOCOL_ICMPV6, icmpv6.ECHO_REQUEST, icmpv6.ECHO_REPLY);
}

/** The flow hash of the quoted packet, or `fallback` when the error quotes too little. */
export function quotedFlowHash(slot: number, end: number, fallback: number): number {
  if (!readQuotedPacket(slot, end)) return fallback;
  const isIpv4 = packet.etherType(slot) === ethernet.ETHERTYPE_IPV4;
  const { protocol, sourcePort, destinationPort } = quoted;
  return flowHash(sumAt(quoted.l3At, isIpv4), protocol, sourcePort, destinationPort);
}

/** `icmpProtocol`, `request` and `reply` are those of the family. */
function readPorts(
  at: number,
  end: number,
  icmpProtocol: number,
  request: number,
  reply: number,
): boolean {
  const { protocol } = quoted;
  quoted.l4At = at;
  quoted.sourcePort = 0;
  quoted.destinationPort = 0;
  if (protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP) {
    if (end - at < PORTS_SIZE) return false;
    quoted.sourcePort = view.getUint16(at);
    quoted.destinationPort = view.getUint16(at + 2);
  } else if (protocol === icmpProtocol) {
    if (end - at < ECHO_SIZE) return false;
    const type = view.getUint8(at);
    if (type !== request && type !== reply) return false;
    quoted.sourcePort = icmp.identifier(view, at);
    quoted.destinationPort = quoted.sourcePort;
  }
  return true;
}
