/**
 * The header that carries offloads between the kernel and a port, 10 bytes in front of the frame:
 * struct virtio_net_hdr (Virtio 1.2 §5.1.6), in the machine's byte order, which is little-endian on
 * all machines that we run on.
 *
 *   0 flags, u8          2 headerLength, u16     6 checksumStart, u16
 *   1 gsoType, u8        4 gsoSize, u16          8 checksumOffset, u16
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";

export const SIZE = 10; // bytes

const NEEDS_CHECKSUM = 1;

const { view } = poolViews();

/** Sets a packet's offload words from the header at byte `at` of the pool. */
export function read(at: number, slot: number): void {
  if ((view.getUint8(at) & NEEDS_CHECKSUM) !== 0) {
    packet.setChecksumStart(slot, view.getUint16(at + 6, true));
    packet.setChecksumOffset(slot, view.getUint16(at + 8, true));
  }
  const gsoType = view.getUint8(at + 1);
  if (gsoType === 0) return;
  packet.setGsoType(slot, gsoType);
  packet.setGsoSize(slot, view.getUint16(at + 4, true));
  packet.setHeaderLength(slot, view.getUint16(at + 2, true));
}

/** Writes a packet's offload words as the header at byte `at` of the pool. */
export function write(at: number, slot: number): void {
  const checksumStart = packet.checksumStart(slot);
  view.setUint16(
    at,
    (checksumStart === 0 ? 0 : NEEDS_CHECKSUM) | (packet.gsoType(slot) << 8),
    true,
  );
  view.setUint16(at + 2, packet.headerLength(slot), true);
  view.setUint16(at + 4, packet.gsoSize(slot), true);
  view.setUint16(at + 6, checksumStart, true);
  view.setUint16(at + 8, packet.checksumOffset(slot), true);
}
