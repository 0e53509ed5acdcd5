/**
 * Makes frames of what only ports with virtio headers carry: finishes an unfinished checksum, cuts
 * a super-frame into the segments that it stands for (as the kernel's GSO does).
 *
 * Run by a worker before a frame leaves by a port, or a tunnel, that takes plain frames only.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews, SMALL_FRAME_MAX } from "@rhone/rings/pool";
import * as poolMemory from "@rhone/rings/pool-memory";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import * as checksum from "@rhone/wire/checksum";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as tcp from "@rhone/wire/tcp";
import * as udp from "@rhone/wire/udp";

/** The super-frame contradicts itself; it is still the caller's. */
export const MALFORMED = -1;
/** Not enough free slots; the super-frame is still the caller's. */
export const EXHAUSTED = -2;

const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;
const GSO_ECN = 0x80;

const { view } = poolViews();

/** Completes the partial checksum that the offload words point to, and clears them. */
export function finishChecksum(slot: number): void {
  const at = packet.frameAt(slot);
  const end = at + packet.length(slot);
  const start = at + packet.checksumStart(slot);
  const target = start + packet.checksumOffset(slot);
  packet.setChecksumStart(slot, 0);
  packet.setChecksumOffset(slot, 0);
  if (target + 2 > end) return; // A lie of the sender's: its frame keeps the checksum it had.
  // The field holds the pseudo header's sum already.
  const folded = checksum.fold(poolMemory.sum(start, end));
  // Of UDP, 0 would mean "no checksum" (RFC 768); for the others both zeros are equal.
  view.setUint16(target, folded === 0 ? 0xffff : folded);
}

/**
 * Cuts a super-frame: `out[0..n)` are its segments in small slots, with the same metadata but plain
 * and with full checksums, and the super-frame's slot is freed. Returns n, MALFORMED or EXHAUSTED.
 */
export function segmentInto(slot: number, allocator: SlotAllocator, out: Int32Array): number {
  const count = segmentHeadersInto(slot, allocator, out);
  if (count < 0) return count;
  const headersSize = packet.headerLength(slot);
  let from = packet.frameAt(slot) + headersSize;
  for (let i = 0; i < count; i++) {
    const copy = out[i]!;
    const size = packet.length(copy) - headersSize;
    poolMemory.copy(packet.frameAt(copy) + headersSize, from, size);
    from += size;
  }
  allocator.give(slot);
  return count;
}

/**
 * Makes the segments' headers alone: `out[0..n)` are as `segmentInto` makes them, but each slot
 * ends with its headers. `packet.length` counts the payload too, which stays in the super-frame.
 * That slot stays the caller's, and `packet.headerLength` tells the exact size of its headers.
 * Returns n, MALFORMED or EXHAUSTED.
 */
export function segmentHeadersInto(
  slot: number,
  allocator: SlotAllocator,
  out: Int32Array,
): number {
  const headersSize = measureHeaders(slot);
  if (headersSize === MALFORMED) return MALFORMED;
  const payloadSize = ipEnd(slot) - packet.frameAt(slot) - headersSize;
  const size = packet.gsoSize(slot);
  if (size === 0 || payloadSize <= 0 || headersSize + size > SMALL_FRAME_MAX) return MALFORMED;
  const count = Math.ceil(payloadSize / size);
  if (count > out.length) return MALFORMED;
  if (!takeSlots(allocator, out, count)) return EXHAUSTED;
  packet.setHeaderLength(slot, headersSize);
  const payloadAt = packet.frameAt(slot) + headersSize;
  for (let i = 0; i < count; i++) {
    const offset = i * size;
    const length = Math.min(size, payloadSize - offset);
    const copy = out[i]!;
    copyHeaders(slot, copy, headersSize, length);
    correctIp(copy, i);
    const payloadSum = poolMemory.sum(payloadAt + offset, payloadAt + offset + length);
    correctTransport(copy, offset, i === 0, i === count - 1, headersSize, payloadSum);
  }
  return count;
}

/**
 * Bytes of all headers, up to the payload; MALFORMED when they do not fit the kind of super-frame.
 */
function measureHeaders(slot: number): number {
  const type = packet.gsoType(slot) & ~GSO_ECN;
  const isTcp = type === GSO_TCPV4 || type === GSO_TCPV6;
  const isIpv4 = packet.etherType(slot) === ethernet.ETHERTYPE_IPV4;
  const protocol = isTcp ? ipv4.PROTOCOL_TCP : ipv4.PROTOCOL_UDP;
  if (!isTcp && type !== GSO_UDP_L4) return MALFORMED;
  if (isTcp && isIpv4 !== (type === GSO_TCPV4)) return MALFORMED;
  const l4At = packet.l4At(slot);
  if (packet.l3At(slot) === 0 || l4At === 0 || packet.protocol(slot) !== protocol) return MALFORMED;
  const end = ipEnd(slot);
  if (end > packet.frameAt(slot) + packet.length(slot)) return MALFORMED;
  if (!(isTcp ? tcp.isValid(view, l4At, end) : end - l4At >= udp.HEADER_SIZE)) return MALFORMED;
  return l4At - packet.frameAt(slot) + (isTcp ? tcp.headerSize(view, l4At) : udp.HEADER_SIZE);
}

/** Byte offset behind the IP packet, as its own header has it. */
function ipEnd(slot: number): number {
  const l3At = packet.l3At(slot);
  if (packet.etherType(slot) === ethernet.ETHERTYPE_IPV4)
    return l3At + ipv4.totalLength(view, l3At);
  return l3At + ipv6.HEADER_SIZE + ipv6.payloadLength(view, l3At);
}

/** Starts a segment in `copy`: metadata and headers of the super-frame, without its offloads. */
function copyHeaders(slot: number, copy: number, headersSize: number, payloadSize: number): void {
  const at = packet.frameAt(slot);
  const copyAt = packet.defaultFrameAt(copy);
  packet.copyMetadata(slot, copy);
  packet.setFrameAt(copy, copyAt);
  packet.setLength(copy, headersSize + payloadSize);
  packet.setL3At(copy, packet.l3At(slot) - at + copyAt);
  packet.setL4At(copy, packet.l4At(slot) - at + copyAt);
  packet.setGsoType(copy, 0);
  packet.setGsoSize(copy, 0);
  packet.setChecksumStart(copy, 0);
  packet.setChecksumOffset(copy, 0);
  packet.setHeaderLength(copy, 0);
  poolMemory.copy(copyAt, at, headersSize);
}

function takeSlots(allocator: SlotAllocator, out: Int32Array, count: number): boolean {
  for (let i = 0; i < count; i++) {
    out[i] = allocator.takeSmall();
    if (out[i]! >= 0) continue;
    for (let k = 0; k < i; k++) allocator.give(out[k]!);
    return false;
  }
  return true;
}

/**
 * Length, and for IPv4 the identification, which counts up from segment to segment, and checksum.
 */
function correctIp(slot: number, index: number): void {
  const l3At = packet.l3At(slot);
  const size = packet.frameAt(slot) + packet.length(slot) - l3At;
  if (packet.etherType(slot) !== ethernet.ETHERTYPE_IPV4) {
    ipv6.setPayloadLength(view, l3At, size - ipv6.HEADER_SIZE);
    return;
  }
  ipv4.setTotalLength(view, l3At, size);
  ipv4.setIdentification(view, l3At, (ipv4.identification(view, l3At) + index) & 0xffff);
  ipv4.updateChecksum(view, l3At);
}

/** `payloadSum` is the partial sum of the segment's payload, wherever that lies. */
function correctTransport(
  slot: number,
  offset: number,
  isFirst: boolean,
  isLast: boolean,
  headersSize: number,
  payloadSum: number,
): void {
  const l4At = packet.l4At(slot);
  const size = packet.frameAt(slot) + packet.length(slot) - l4At;
  const headersEnd = packet.frameAt(slot) + headersSize;
  const pseudo = payloadSum + pseudoHeader(slot, size);
  if (packet.protocol(slot) === ipv4.PROTOCOL_UDP) {
    udp.setLength(view, l4At, size);
    udp.setChecksum(view, l4At, 0);
    const folded = checksum.fold(checksum.sum(view, l4At, headersEnd, pseudo));
    udp.setChecksum(view, l4At, folded === 0 ? 0xffff : folded);
    return;
  }
  tcp.setSequence(view, l4At, (tcp.sequence(view, l4At) + offset) | 0);
  // FIN and PSH belong to the last segment, CWR to the first (RFC 3168 §6.1.2).
  let flags = tcp.flags(view, l4At);
  if (!isLast) flags &= ~(tcp.FIN | tcp.PSH);
  if (!isFirst) flags &= ~tcp.CWR;
  tcp.setFlags(view, l4At, flags);
  tcp.setChecksum(view, l4At, 0);
  tcp.setChecksum(view, l4At, checksum.fold(checksum.sum(view, l4At, headersEnd, pseudo)));
}

/** Partial sum of the pseudo header in front of `size` bytes of transport. */
function pseudoHeader(slot: number, size: number): number {
  const l3At = packet.l3At(slot);
  const protocol = packet.protocol(slot);
  return packet.etherType(slot) === ethernet.ETHERTYPE_IPV4
    ? checksum.pseudoHeader4(view, l3At, protocol, size)
    : checksum.pseudoHeader6(view, l3At, protocol, size);
}
