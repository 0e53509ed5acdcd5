/**
 * Writes another address and port into a packet, at one of its two ends or those of a packet that
 * it quotes, and brings its checksums along (RFC 1624), whether they are finished or not.
 *
 * A quoted transport checksum stays: who reads a quotation looks at its addresses and ports only.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import { update16 } from "@rhone/wire/checksum";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import { flowHash, sumOfAddresses } from "./flow-hash.ts";
import { quoted } from "./quoted-packet.ts";

/** Which end of a packet. */
export const SOURCE = 0;
export const DESTINATION = 1;
export type End = typeof SOURCE | typeof DESTINATION;

const IPV4_SOURCE = 12; // Byte offsets in the headers.
const IPV4_CHECKSUM = 10;
const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;
const ICMP_CHECKSUM = 2;
const NOWHERE = -1;

const view = poolViews().view;

/**
 * Of a packet that is no ICMP error. `address` is four words, of the packet's family; `port` counts
 * for TCP and UDP. The flow hash becomes that of the new flow.
 */
export function rewriteEnd(slot: number, end: End, address: Int32Array, port: number): void {
  rewriteKnown(slot, end, address, port, 0);
  const ports = packet.ports(slot);
  packet.setFlowHash(
    slot,
    flowHash(sumOfAddresses(slot), packet.protocol(slot), ports >>> 16, ports & 0xffff),
  );
}

/** As `rewriteEnd`, when the flow hash of what the packet becomes is known. */
export function rewriteKnown(
  slot: number,
  end: End,
  address: Int32Array,
  port: number,
  hash: number,
): void {
  const l4At = packet.l4At(slot);
  const checksumAt = l4At === 0 ? NOWHERE : transportChecksum(slot, l4At);
  rewriteAddress(slot, end, address, checksumAt);
  if (isTcpOrUdp(packet.protocol(slot))) {
    const ports = packet.ports(slot);
    packet.setPorts(
      slot,
      end === SOURCE ? (port << 16) | (ports & 0xffff) : (ports & ~0xffff) | port,
    );
    // An unfinished checksum is of the pseudo header, which has no ports.
    const covers = packet.checksumStart(slot) === 0 ? checksumAt : NOWHERE;
    if (l4At !== 0) write16(l4At + end * 2, port, covers);
  }
  if (checksumAt !== NOWHERE && packet.protocol(slot) === ipv4.PROTOCOL_UDP) keepUdpChecksum(slot);
  packet.setFlowHash(slot, hash);
}

/** As `rewriteEnd`, of an ICMP error: its own address only. */
export function rewriteErrorEnd(slot: number, end: End, address: Int32Array): void {
  rewriteAddress(slot, end, address, transportChecksum(slot, packet.l4At(slot)));
}

/** An end of the packet that `quoted` has found in this ICMP error. */
export function rewriteQuoted(slot: number, end: End, address: Int32Array, port: number): void {
  const checksumAt = packet.l4At(slot) + ICMP_CHECKSUM;
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    // Its own checksum keeps the header's sum what it was, so the error's is right as it stands.
    const at = quoted.l3At + IPV4_SOURCE + end * 4;
    write32(at, address[3]!, quoted.l3At + IPV4_CHECKSUM, false);
  } else writeIpv6(quoted.l3At, end, address, checksumAt, false);
  if (isTcpOrUdp(quoted.protocol)) write16(quoted.l4At + end * 2, port, checksumAt);
}

function isTcpOrUdp(protocol: number): boolean {
  return protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP;
}

/** Byte offset of the checksum that covers the packet's addresses, NOWHERE when none does. */
function transportChecksum(slot: number, l4At: number): number {
  switch (packet.protocol(slot)) {
    case ipv4.PROTOCOL_TCP:
      return l4At + TCP_CHECKSUM;
    case ipv4.PROTOCOL_UDP: {
      // 0 says that there is none (RFC 768).
      const isLeftOut = view.getUint16(l4At + UDP_CHECKSUM) === 0 && !isPartial(slot);
      return isLeftOut ? NOWHERE : l4At + UDP_CHECKSUM;
    }
    case ipv4.PROTOCOL_ICMPV6:
      return packet.etherType(slot) === ethernet.ETHERTYPE_IPV6 ? l4At + ICMP_CHECKSUM : NOWHERE;
    default:
      return NOWHERE;
  }
}

function isPartial(slot: number): boolean {
  return packet.checksumStart(slot) !== 0;
}

/** A sum that is 0 is sent as its other form (RFC 768). */
function keepUdpChecksum(slot: number): void {
  const at = packet.l4At(slot) + UDP_CHECKSUM;
  if (!isPartial(slot) && view.getUint16(at) === 0) view.setUint16(at, 0xffff);
}

function rewriteAddress(slot: number, end: End, address: Int32Array, checksumAt: number): void {
  const l3At = packet.l3At(slot);
  const partial = isPartial(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4) {
    write32(l3At + IPV4_SOURCE + end * 4, address[3]!, checksumAt, partial);
    ipv4.updateChecksum(view, l3At);
  } else writeIpv6(l3At, end, address, checksumAt, partial);
}

function writeIpv6(
  l3At: number,
  end: End,
  address: Int32Array,
  checksumAt: number,
  partial: boolean,
): void {
  const at = l3At + (end === SOURCE ? ipv6.SOURCE : ipv6.DESTINATION);
  for (let i = 0; i < 4; i++) write32(at + i * 4, address[i]!, checksumAt, partial);
}

/** `partial`: the checksum is unfinished, the plain sum of what it covers so far. */
function write32(at: number, value: number, checksumAt: number, partial: boolean): void {
  const old = view.getInt32(at);
  view.setInt32(at, value);
  if (checksumAt === NOWHERE) return;
  const flip = partial ? 0xffff : 0;
  let checksum = view.getUint16(checksumAt) ^ flip;
  checksum = update16(checksum, old >>> 16, value >>> 16);
  checksum = update16(checksum, old & 0xffff, value & 0xffff);
  view.setUint16(checksumAt, checksum ^ flip);
}

function write16(at: number, value: number, checksumAt: number): void {
  const old = view.getUint16(at);
  view.setUint16(at, value);
  if (checksumAt === NOWHERE) return;
  view.setUint16(checksumAt, update16(view.getUint16(checksumAt), old, value));
}
