/** Frames for tests, built from the numbers that matter; checksums are right unless said. */
import { type Address, isIpv4, parseAddress, parseMac } from "@rhone/wire/address";
import * as arp from "@rhone/wire/arp";
import * as checksum from "@rhone/wire/checksum";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmp from "@rhone/wire/icmp";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as nd from "@rhone/wire/nd";
import * as tcp from "@rhone/wire/tcp";
import * as udp from "@rhone/wire/udp";

export interface Ends {
  readonly from: string;
  readonly to: string;
  readonly fromMac: string;
  readonly toMac: string;
  readonly ttl?: number;
}

export function viewOf(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
}

function writeEthernet(view: DataView, toMac: string, fromMac: string, etherType: number): void {
  const to = parseMac(toMac)!;
  const from = parseMac(fromMac)!;
  ethernet.write(view, 0, to.high, to.low, from.high, from.low, etherType);
}

function ipFrame(ends: Ends, protocol: number, size: number): { frame: Uint8Array; l4At: number } {
  const from = parseAddress(ends.from)!;
  const to = parseAddress(ends.to)!;
  const l4At = 14 + (isIpv4(from) ? 20 : 40);
  const frame = new Uint8Array(l4At + size);
  const view = viewOf(frame);
  const ttl = ends.ttl ?? 64;
  if (isIpv4(from)) {
    writeEthernet(view, ends.toMac, ends.fromMac, ethernet.ETHERTYPE_IPV4);
    ipv4.write(view, 14, 20 + size, ttl, protocol, from[3], to[3]);
  } else {
    writeEthernet(view, ends.toMac, ends.fromMac, ethernet.ETHERTYPE_IPV6);
    ipv6.write(view, 14, size, protocol, ttl);
    setAddresses(view, from, to);
  }
  return { frame, l4At };
}

function setAddresses(view: DataView, from: Address, to: Address): void {
  for (let i = 0; i < 4; i++) {
    ipv6.setSourceWord(view, 14, i, from[i]!);
    ipv6.setDestinationWord(view, 14, i, to[i]!);
  }
}

export function udpFrame(ends: Ends, payload: number, ports: [number, number] = [40000, 9]) {
  const { frame, l4At } = ipFrame(ends, ipv4.PROTOCOL_UDP, 8 + payload);
  const view = viewOf(frame);
  udp.write(view, l4At, ports[0], ports[1], 8 + payload);
  for (let i = 0; i < payload; i++) frame[l4At + 8 + i] = i;
  const pseudo = pseudoHeader(view, l4At, ipv4.PROTOCOL_UDP, 8 + payload);
  udp.setChecksum(view, l4At, checksum.fold(checksum.sum(view, l4At, frame.length, pseudo)));
  return frame;
}

export interface TcpSpec {
  readonly flags: number;
  readonly sequence?: number;
  readonly acknowledgment?: number;
  readonly payload?: number;
}

export function tcpFrame(ends: Ends, ports: [number, number], spec: TcpSpec): Uint8Array {
  const size = tcp.HEADER_SIZE + (spec.payload ?? 0);
  const { frame, l4At } = ipFrame(ends, ipv4.PROTOCOL_TCP, size);
  const view = viewOf(frame);
  const { sequence = 1000, acknowledgment = 0, flags } = spec;
  tcp.write(view, l4At, ports[0], ports[1], sequence, acknowledgment, flags);
  view.setUint16(l4At + 14, 64000); // The window.
  const pseudo = pseudoHeader(view, l4At, ipv4.PROTOCOL_TCP, size);
  tcp.setChecksum(view, l4At, checksum.fold(checksum.sum(view, l4At, frame.length, pseudo)));
  return frame;
}

/** Partial sum for the header at `l4At` of a frame made here. */
export function pseudoHeader(view: DataView, l4At: number, protocol: number, size: number): number {
  return l4At === 34
    ? checksum.pseudoHeader4(view, 14, protocol, size)
    : checksum.pseudoHeader6(view, 14, protocol, size);
}

/** The IPv4 fragments of a frame, `size` bytes of payload each but the last; a multiple of 8. */
export function fragmentsOf(frame: Uint8Array, size: number): Uint8Array[] {
  const payload = frame.slice(34);
  const fragments: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += size) {
    const part = payload.subarray(at, at + size);
    const fragment = new Uint8Array(34 + part.length);
    fragment.set(frame.subarray(0, 34));
    fragment.set(part, 34);
    const view = viewOf(fragment);
    const hasMore = at + size < payload.length ? 0x2000 : 0;
    ipv4.setTotalLength(view, 14, 20 + part.length);
    ipv4.setIdentification(view, 14, 77);
    view.setUint16(20, hasMore | (at / 8));
    ipv4.updateChecksum(view, 14);
    fragments.push(fragment);
  }
  return fragments;
}

/** An ICMP port unreachable about an IPv4 frame, sent by its receiver. */
export function unreachableAbout(ends: Ends, about: Uint8Array): Uint8Array {
  const quotation = about.subarray(14, 14 + 28);
  const { frame, l4At } = ipFrame(ends, ipv4.PROTOCOL_ICMP, 8 + quotation.length);
  const view = viewOf(frame);
  icmp.write(view, l4At, icmp.DESTINATION_UNREACHABLE, 3, 0);
  frame.set(quotation, l4At + 8);
  icmp.updateChecksum(view, l4At, frame.length);
  return frame;
}

export function echoFrame(ends: Ends, payload = 16): Uint8Array {
  const isV4 = isIpv4(parseAddress(ends.from)!);
  const protocol = isV4 ? ipv4.PROTOCOL_ICMP : ipv4.PROTOCOL_ICMPV6;
  const { frame, l4At } = ipFrame(ends, protocol, 8 + payload);
  const view = viewOf(frame);
  if (isV4) {
    icmp.write(view, l4At, icmp.ECHO_REQUEST, 0, 0x00070001);
    icmp.updateChecksum(view, l4At, frame.length);
  } else {
    icmpv6.write(view, l4At, icmpv6.ECHO_REQUEST, 0);
    icmpv6.updateChecksum(view, 14, l4At, frame.length);
  }
  return frame;
}

export function arpRequest(fromMac: string, from: string, target: string): Uint8Array {
  const frame = new Uint8Array(42);
  const view = viewOf(frame);
  writeEthernet(view, "ff:ff:ff:ff:ff:ff", fromMac, ethernet.ETHERTYPE_ARP);
  const mac = parseMac(fromMac)!;
  const sender = parseAddress(from)![3];
  arp.write(view, 14, arp.REQUEST, mac.high, mac.low, sender, 0, 0, parseAddress(target)![3]);
  return frame;
}

/** A neighbour solicitation for `target`, with a source link-layer option that says `optionMac`. */
export function solicitation(ends: Ends, target: string, optionMac = ends.fromMac): Uint8Array {
  const { frame, l4At } = ipFrame({ ...ends, ttl: 255 }, ipv4.PROTOCOL_ICMPV6, 32);
  const view = viewOf(frame);
  icmpv6.write(view, l4At, nd.NEIGHBOR_SOLICITATION, 0);
  const words = parseAddress(target)!;
  for (let i = 0; i < 4; i++) view.setInt32(l4At + 8 + i * 4, words[i]!);
  const mac = parseMac(optionMac)!;
  const option = l4At + 24;
  nd.writeLinkLayerOption(view, option, nd.OPTION_SOURCE_LINK_LAYER, mac.high, mac.low);
  icmpv6.updateChecksum(view, 14, l4At, frame.length);
  return frame;
}
