/**
 * Finds TCP and UDP checksums that a sender on this machine has left to its device, where nothing
 * tells of them: frames of a veth device come to XDP as their sender made them, and the field has
 * the sum of the pseudo header then.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as poolMemory from "@rhone/rings/pool-memory";
import * as checksum from "@rhone/wire/checksum";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as tcp from "@rhone/wire/tcp";
import * as udp from "@rhone/wire/udp";

/** It has no sum that would tell. */
export const NO_SUM = 0;
export const FINISHED = 1;
/** The packet's offload words say now where the sum is to be finished. */
export const UNFINISHED = 2;

const TCP_CHECKSUM = 16; // bytes behind the header's begin
const UDP_CHECKSUM = 6;

const { view } = poolViews();

/** Looks at a packet that has just arrived, without a VLAN tag; NO_SUM, FINISHED or UNFINISHED. */
export function lookForUnfinished(slot: number): number {
  const at = packet.frameAt(slot);
  const end = at + packet.length(slot);
  const l3At = at + ethernet.HEADER_SIZE;
  if (l3At > end) return NO_SUM;
  const etherType = ethernet.etherType(view, at);
  if (etherType === ethernet.ETHERTYPE_IPV4) {
    if (!ipv4.isValid(view, l3At, end) || ipv4.isFragment(view, l3At)) return NO_SUM;
    const protocol = ipv4.protocol(view, l3At);
    const l4At = l3At + ipv4.headerSize(view, l3At);
    const size = l3At + ipv4.totalLength(view, l3At) - l4At;
    const offset = checksumOffset(protocol, size);
    if (offset === 0) return NO_SUM;
    return look(slot, l4At, size, offset, checksum.pseudoHeader4(view, l3At, protocol, size));
  }
  if (etherType !== ethernet.ETHERTYPE_IPV6 || !ipv6.isValid(view, l3At, end)) return NO_SUM;
  const protocol = ipv6.nextHeader(view, l3At);
  const size = ipv6.payloadLength(view, l3At);
  const offset = checksumOffset(protocol, size);
  if (offset === 0) return NO_SUM;
  const pseudoHeader = checksum.pseudoHeader6(view, l3At, protocol, size);
  return look(slot, l3At + ipv6.HEADER_SIZE, size, offset, pseudoHeader);
}

/** 0 when there is no checksum, or not all of the header. */
function checksumOffset(protocol: number, size: number): number {
  if (protocol === ipv4.PROTOCOL_TCP) return size < tcp.HEADER_SIZE ? 0 : TCP_CHECKSUM;
  if (protocol === ipv4.PROTOCOL_UDP) return size < udp.HEADER_SIZE ? 0 : UDP_CHECKSUM;
  return 0;
}

function look(
  slot: number,
  l4At: number,
  size: number,
  offset: number,
  pseudoHeader: number,
): number {
  const field = view.getUint16(l4At + offset);
  if (field === 0 && offset === UDP_CHECKSUM) return NO_SUM; // RFC 768: none.
  if (field !== (~checksum.fold(pseudoHeader) & 0xffff)) return FINISHED;
  // A finished sum can happen to be the same number.
  if (checksum.fold(pseudoHeader + poolMemory.sum(l4At, l4At + size)) === 0) return FINISHED;
  packet.setChecksumStart(slot, l4At - packet.frameAt(slot));
  packet.setChecksumOffset(slot, offset);
  return UNFINISHED;
}
