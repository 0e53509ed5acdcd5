/**
 * Joins datagrams of the tunnel whose frames are consecutive segments of one TCP flow into one
 * super-frame: the other way round than segment.ts, and as the kernel's GRO does it. The datagrams
 * lie in the pool in a row, each with its Geneve header, and all of one size but the last.
 *
 * They are joined only when cutting the super-frame would give the same datagrams again, but for
 * what means nothing: the tags of the stamps, and the identification of IPv4 packets that are not
 * to be fragmented (RFC 6864 §4). So every checksum is looked at; a frame that was damaged before
 * it reached the router stays alone and damaged.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as poolMemory from "@rhone/rings/pool-memory";
import * as checksum from "@rhone/wire/checksum";
import * as ethernet from "@rhone/wire/ethernet";
import * as geneve from "@rhone/wire/geneve";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as resume from "@rhone/wire/resume";
import * as tcp from "@rhone/wire/tcp";

const TAG_SIZE = 8; // bytes, the last of the stamp
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_ECN = 0x80;
const TCP_CHECKSUM_OFFSET = 16;
const CLOSING = tcp.FIN | tcp.PSH;
/** A first segment has no other flags than these. */
const PLAIN = tcp.ACK | tcp.ECE | tcp.CWR;
const FRAME_AT = resume.HEADER_SIZE;
const L3_AT = FRAME_AT + ethernet.HEADER_SIZE;

const { bytes, view } = poolViews();

/**
 * How many of the datagrams in `[at, end)`, `size` bytes each, belong in one super-frame with the
 * first one; 1 when it stays alone.
 */
export function countJoinable(at: number, size: number, end: number): number {
  const headersSize = measureHeaders(at, at + size);
  if (headersSize === 0) return 1;
  const payloadSize = size - headersSize;
  const l4At = at + l4Offset(at);
  const flags = tcp.flags(view, l4At);
  if ((flags & ~PLAIN) !== 0 || (flags & tcp.ACK) === 0) return 1;
  let count = 1;
  for (let next = at + size; next < end; next += size) {
    const nextEnd = Math.min(next + size, end);
    if (nextEnd - next <= headersSize) break;
    if (!isNext(at, next, nextEnd, headersSize, count, payloadSize)) break;
    count++;
    if ((tcp.flags(view, next + l4Offset(at)) & CLOSING) !== 0) break;
  }
  return count;
}

/**
 * Makes one packet of the datagrams in `[at, end)` of a slot, which `countJoinable` has found to
 * belong together: it starts with the first one's Geneve header.
 */
export function join(slot: number, at: number, size: number, end: number): void {
  const isIpv4 = hasIpv4(at);
  const l4At = at + l4Offset(at);
  const headersSize = l4At + tcp.headerSize(view, l4At) - at;
  let to = at + size;
  let lastFlags = 0;
  for (let next = at + size; next < end; next += size) {
    const nextEnd = Math.min(next + size, end);
    lastFlags = tcp.flags(view, next + l4At - at);
    const payloadSize = nextEnd - next - headersSize;
    poolMemory.copy(to, next + headersSize, payloadSize);
    to += payloadSize;
  }
  const flags = tcp.flags(view, l4At);
  const l3At = at + L3_AT;
  tcp.setFlags(view, l4At, flags | (lastFlags & CLOSING));
  if (isIpv4) {
    ipv4.setTotalLength(view, l3At, to - l3At);
    ipv4.updateChecksum(view, l3At);
  } else {
    ipv6.setPayloadLength(view, l3At, to - l3At - ipv6.HEADER_SIZE);
  }
  // Unfinished, as in a super-frame of the kernel's: the field holds the pseudo header's sum.
  tcp.setChecksum(view, l4At, ~checksum.fold(pseudoHeader(l3At, isIpv4, to - l4At)) & 0xffff);
  packet.begin(slot, at, to - at, -1);
  const ecn = (flags & tcp.CWR) === 0 ? 0 : GSO_ECN;
  packet.setGsoType(slot, (isIpv4 ? GSO_TCPV4 : GSO_TCPV6) | ecn);
  packet.setGsoSize(slot, size - headersSize);
  packet.setHeaderLength(slot, headersSize - FRAME_AT);
  packet.setChecksumStart(slot, l4At - at - FRAME_AT);
  packet.setChecksumOffset(slot, TCP_CHECKSUM_OFFSET);
}

/**
 * Bytes of a datagram's headers, from Geneve to TCP; 0 when it cannot be joined with any other.
 */
function measureHeaders(at: number, end: number): number {
  if (end - at < L3_AT || !geneve.isValid(view, at, end)) return 0;
  if (geneve.headerSize(view, at) !== resume.HEADER_SIZE || geneve.isControl(view, at)) return 0;
  const option = at + geneve.BASE_SIZE;
  if (geneve.optionClass(view, option) !== resume.OPTION_CLASS) return 0;
  if (geneve.optionType(view, option) !== resume.OPTION_TYPE) return 0;
  const l3At = at + L3_AT;
  const etherType = ethernet.etherType(view, at + FRAME_AT);
  if (etherType === ethernet.ETHERTYPE_IPV4) {
    if (!ipv4.isValid(view, l3At, end) || ipv4.headerSize(view, l3At) !== ipv4.HEADER_SIZE)
      return 0;
    if (ipv4.protocol(view, l3At) !== ipv4.PROTOCOL_TCP || ipv4.isFragment(view, l3At)) return 0;
  } else if (etherType === ethernet.ETHERTYPE_IPV6) {
    if (!ipv6.isValid(view, l3At, end)) return 0;
    if (ipv6.nextHeader(view, l3At) !== ipv4.PROTOCOL_TCP) return 0;
  } else {
    return 0;
  }
  const l4At = at + l4Offset(at);
  if (!tcp.isValid(view, l4At, end) || !isWhole(at, end)) return 0;
  const size = l4At + tcp.headerSize(view, l4At) - at;
  return size < end - at ? size : 0;
}

/** Whether the datagram at `next` comes behind `count` others, of which the first is at `at`. */
function isNext(
  at: number,
  next: number,
  end: number,
  headersSize: number,
  count: number,
  payloadSize: number,
): boolean {
  if (!isSame(at, next, 0, resume.HEADER_SIZE - TAG_SIZE)) return false;
  const l4Size = l4Offset(at);
  if (!isSame(at, next, FRAME_AT, L3_AT)) return false;
  if (!(hasIpv4(at) ? isSameIpv4(at, next, count) : isSameIpv6(at, next))) return false;
  const l4At = at + l4Size;
  const nextL4At = next + l4Size;
  const sequence = (tcp.sequence(view, l4At) + count * payloadSize) | 0;
  if (tcp.sequence(view, nextL4At) !== sequence) return false;
  const flags = tcp.flags(view, nextL4At);
  if ((flags & tcp.CWR) !== 0) return false;
  if (((flags ^ tcp.flags(view, l4At)) & ~(CLOSING | tcp.CWR)) !== 0) return false;
  // Ports; acknowledgment and data offset; window; urgent pointer and options.
  if (!isSame(at, next, l4Size, l4Size + 4)) return false;
  if (!isSame(at, next, l4Size + 8, l4Size + 13)) return false;
  if (!isSame(at, next, l4Size + 14, l4Size + 16)) return false;
  if (!isSame(at, next, l4Size + 18, headersSize)) return false;
  return isWhole(next, end);
}

/** All but total length, identification and checksum. */
function isSameIpv4(at: number, next: number, count: number): boolean {
  const l3At = at + L3_AT;
  if (!isSame(at, next, L3_AT, L3_AT + 2)) return false;
  if (!isSame(at, next, L3_AT + 6, L3_AT + 10)) return false;
  if (!isSame(at, next, L3_AT + 12, L3_AT + ipv4.HEADER_SIZE)) return false;
  const identification = (ipv4.identification(view, l3At) + count) & 0xffff;
  return (
    ipv4.dontFragment(view, l3At) || ipv4.identification(view, next + L3_AT) === identification
  );
}

/** All but the payload's length. */
function isSameIpv6(at: number, next: number): boolean {
  if (!isSame(at, next, L3_AT, L3_AT + 4)) return false;
  return isSame(at, next, L3_AT + 6, L3_AT + ipv6.HEADER_SIZE);
}

/** Whether bytes `[from, to)` of two datagrams are equal. */
function isSame(at: number, next: number, from: number, to: number): boolean {
  let i = from;
  for (; i + 4 <= to; i += 4) if (view.getInt32(at + i) !== view.getInt32(next + i)) return false;
  for (; i < to; i++) if (bytes[at + i] !== bytes[next + i]) return false;
  return true;
}

/** Whether IP fills the datagram, and all checksums are right. */
function isWhole(at: number, end: number): boolean {
  const l3At = at + L3_AT;
  const isIpv4 = hasIpv4(at);
  if (isIpv4) {
    if (ipv4.totalLength(view, l3At) !== end - l3At) return false;
    if (!ipv4.headerChecksumIsValid(view, l3At)) return false;
  } else if (ipv6.payloadLength(view, l3At) + ipv6.HEADER_SIZE !== end - l3At) {
    return false;
  }
  const l4At = at + l4Offset(at);
  const sum = poolMemory.sum(l4At, end) + pseudoHeader(l3At, isIpv4, end - l4At);
  return checksum.fold(sum) === 0;
}

function pseudoHeader(l3At: number, isIpv4: boolean, size: number): number {
  return isIpv4
    ? checksum.pseudoHeader4(view, l3At, ipv4.PROTOCOL_TCP, size)
    : checksum.pseudoHeader6(view, l3At, ipv4.PROTOCOL_TCP, size);
}

function hasIpv4(at: number): boolean {
  return ethernet.etherType(view, at + FRAME_AT) === ethernet.ETHERTYPE_IPV4;
}

/** Bytes from a datagram's start to its TCP header. */
function l4Offset(at: number): number {
  return L3_AT + (hasIpv4(at) ? ipv4.HEADER_SIZE : ipv6.HEADER_SIZE);
}
