/**
 * Turns a TCP segment into the reset that answers it, as if nobody listened at its destination
 * (RFC 9293 §3.10.7.1). Written over the segment's headers, in the same slot.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as checksum from "@rhone/wire/checksum";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as tcp from "@rhone/wire/tcp";
import { ipEnd } from "./connection-tracking.ts";

const HOP_LIMIT = 64;

const view = poolViews().view;

/** The packet must be a whole TCP segment that is no reset itself. */
export function turnIntoReset(slot: number): void {
  const segment = packet.l4At(slot);
  const flags = tcp.flags(view, segment);
  const hasAck = (flags & tcp.ACK) !== 0;
  const sequence = hasAck ? tcp.acknowledgment(view, segment) : 0;
  const acknowledgment = hasAck ? 0 : endOf(slot, segment, flags);
  const sourcePort = tcp.destinationPort(view, segment);
  const destinationPort = tcp.sourcePort(view, segment);
  const isIpv4 = packet.etherType(slot) === ethernet.ETHERTYPE_IPV4;
  turnEthernet(slot);
  const l3At = packet.l3At(slot);
  if (isIpv4) turnIpv4(l3At);
  else turnIpv6(l3At);
  // Options and extension headers are gone: it may stand in front of where the segment stood.
  const l4At = l3At + (isIpv4 ? ipv4.HEADER_SIZE : ipv6.HEADER_SIZE);
  const answer = hasAck ? tcp.RST : tcp.RST | tcp.ACK;
  tcp.write(view, l4At, sourcePort, destinationPort, sequence, acknowledgment, answer);
  const end = l4At + tcp.HEADER_SIZE;
  const pseudo = isIpv4
    ? checksum.pseudoHeader4(view, l3At, ipv4.PROTOCOL_TCP, tcp.HEADER_SIZE)
    : checksum.pseudoHeader6(view, l3At, ipv4.PROTOCOL_TCP, tcp.HEADER_SIZE);
  tcp.setChecksum(view, l4At, checksum.fold(checksum.sum(view, l4At, end, pseudo)));
  packet.setL4At(slot, l4At);
  packet.setLength(slot, end - packet.frameAt(slot));
  packet.setPorts(slot, (sourcePort << 16) | destinationPort);
  packet.setGsoType(slot, 0);
  packet.setChecksumStart(slot, 0);
}

/** The sequence number behind the segment: SYN and FIN take one each. */
function endOf(slot: number, segment: number, flags: number): number {
  const payload = Math.max(0, ipEnd(slot) - segment - tcp.headerSize(view, segment));
  const syn = (flags & tcp.SYN) !== 0 ? 1 : 0;
  const fin = (flags & tcp.FIN) !== 0 ? 1 : 0;
  return (tcp.sequence(view, segment) + payload + syn + fin) | 0;
}

/** Right in front of the IP header, without VLAN tags. */
function turnEthernet(slot: number): void {
  const old = packet.frameAt(slot);
  const dHigh = ethernet.sourceHigh(view, old);
  const dLow = ethernet.sourceLow(view, old);
  const sHigh = ethernet.destinationHigh(view, old);
  const sLow = ethernet.destinationLow(view, old);
  const at = packet.l3At(slot) - ethernet.HEADER_SIZE;
  ethernet.write(view, at, dHigh, dLow, sHigh, sLow, packet.etherType(slot));
  packet.setFrameAt(slot, at);
}

function turnIpv4(at: number): void {
  const from = ipv4.destination(view, at);
  const to = ipv4.source(view, at);
  const length = ipv4.HEADER_SIZE + tcp.HEADER_SIZE;
  ipv4.write(view, at, length, HOP_LIMIT, ipv4.PROTOCOL_TCP, from, to);
}

function turnIpv6(at: number): void {
  ipv6.write(view, at, tcp.HEADER_SIZE, ipv4.PROTOCOL_TCP, HOP_LIMIT);
  for (let i = 0; i < 4; i++) {
    const to = ipv6.sourceWord(view, at, i);
    ipv6.setSourceWord(view, at, i, ipv6.destinationWord(view, at, i));
    ipv6.setDestinationWord(view, at, i, to);
  }
}
