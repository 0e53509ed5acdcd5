/**
 * An AF_XDP socket whose UMEM is the packet pool: the kernel receives into small slots and sends
 * from them (Documentation/networking/af_xdp.rst, linux/if_xdp.h).
 */
import { FRAME_OFFSET, poolViews, SLOT_SIZE } from "@rhone/rings/pool";
import type { RingState } from "./movable-port.ts";
import { check, EBUSY, errno, libc, NativeError } from "./native.ts";
import { allocate } from "./native-memory.ts";
import { poolAddress } from "./pool-address.ts";
import { openSocket, setBufferSizes, setOption } from "./socket-option.ts";
import { XdpRing } from "./xdp-ring.ts";

const AF_XDP = 44;
const SOCK_RAW = 3;
const SOL_XDP = 283;
const XDP_MMAP_OFFSETS = 1;
const XDP_RX_RING = 2;
const XDP_TX_RING = 3;
const XDP_UMEM_REG = 4;
const XDP_UMEM_FILL_RING = 5;
const XDP_UMEM_COMPLETION_RING = 6;
const XDP_SHARED_UMEM = 1;
const XDP_COPY = 2;
const XDP_USE_NEED_WAKEUP = 8;
const RX_PAGE = 0n;
const TX_PAGE = 0x80000000n;
const FILL_PAGE = 0x100000000n;
const COMPLETION_PAGE = 0x180000000n;

/** What the kernel reserves itself in front of a frame, and so no more is asked for. */
const KERNEL_HEADROOM = 256; // XDP_PACKET_HEADROOM, linux/bpf.h
const HEADROOM = FRAME_OFFSET - KERNEL_HEADROOM;

/** A socket that was just closed leaves its queue late. The worker does nothing else meanwhile. */
const BIND_TRIES = 50;
const BIND_PAUSE_MS = 10;

/** Bytes of frames on their way through the kernel: it refuses more, whatever the rings hold. */
const BUFFER_SIZE = 8 * 1024 * 1024;

const ADDRESS_SIZE = 8;
const DESCRIPTOR_SIZE = 16;

const { smallCount } = poolViews();
const umem = allocate(32);
const offsets = allocate(128);
const offsetsSize = allocate(8);
const socketAddress = allocate(16);

export interface XdpRings {
  readonly fill: XdpRing;
  readonly completion: XdpRing;
  readonly rx: XdpRing;
  readonly tx: XdpRing;
}

/**
 * Opens a socket with rings of `ringSize` entries each, a power of two; it is not yet bound. It has
 * a UMEM of its own unless it is to be bound to share that of another one.
 */
export function openXdpSocket(
  ringSize: number,
  isSharing: boolean,
): { descriptor: number; rings: XdpRings } {
  const descriptor = openSocket(AF_XDP, SOCK_RAW, 0, "AF_XDP");
  const mapped: XdpRing[] = [];
  try {
    if (!isSharing) registerPool(descriptor);
    setBufferSizes(descriptor, BUFFER_SIZE, BUFFER_SIZE);
    setOption(descriptor, SOL_XDP, XDP_UMEM_FILL_RING, ringSize, "the fill ring");
    setOption(descriptor, SOL_XDP, XDP_UMEM_COMPLETION_RING, ringSize, "the completion ring");
    setOption(descriptor, SOL_XDP, XDP_RX_RING, ringSize, "the rx ring");
    setOption(descriptor, SOL_XDP, XDP_TX_RING, ringSize, "the tx ring");
    offsetsSize.words[0] = 128;
    check(
      libc.getsockopt(descriptor, SOL_XDP, XDP_MMAP_OFFSETS, offsets.address, offsetsSize.address),
      "get the offsets of the AF_XDP rings",
    );
    const map = (page: bigint, part: number, entrySize: number): XdpRing => {
      const ring = XdpRing.map(descriptor, page, ringOffsets(part), ringSize, entrySize);
      mapped.push(ring);
      return ring;
    };
    const rings = {
      rx: map(RX_PAGE, 0, DESCRIPTOR_SIZE),
      tx: map(TX_PAGE, 1, DESCRIPTOR_SIZE),
      fill: map(FILL_PAGE, 2, ADDRESS_SIZE),
      completion: map(COMPLETION_PAGE, 3, ADDRESS_SIZE),
    };
    return { descriptor, rings };
  } catch (error) {
    for (const ring of mapped) ring.unmap();
    libc.close(descriptor);
    throw error;
  }
}

/** Ends a socket so that the kernel touches no slot after it: the rings hold it open otherwise. */
export function closeXdpSocket(descriptor: number, rings: XdpRings): void {
  rings.rx.unmap();
  rings.tx.unmap();
  rings.fill.unmap();
  rings.completion.unmap();
  libc.close(descriptor);
}

/**
 * Binds to a device's queue in copy mode, which every driver has. With `sharer`, a bound socket,
 * the UMEM and the mode are that one's: the kernel takes no other flags then.
 */
export function bindXdpSocket(
  descriptor: number,
  device: number,
  queue: number,
  sharer: number | null,
): void {
  const flags = sharer === null ? XDP_COPY | XDP_USE_NEED_WAKEUP : XDP_SHARED_UMEM;
  socketAddress.view.setUint16(0, AF_XDP, true);
  socketAddress.view.setUint16(2, flags, true);
  socketAddress.view.setUint32(4, device, true);
  socketAddress.view.setUint32(8, queue, true);
  socketAddress.view.setUint32(12, sharer ?? 0, true);
  for (let tries = 1; libc.bind(descriptor, socketAddress.address, 16) === -1; tries++) {
    const number = errno();
    if (number !== EBUSY || tries === BIND_TRIES) {
      throw new NativeError(`bind an AF_XDP socket to queue ${queue}`, number);
    }
    libc.poll(0n, 0, BIND_PAUSE_MS);
  }
}

function registerPool(descriptor: number): void {
  umem.view.setBigUint64(0, poolAddress, true);
  umem.view.setBigUint64(8, BigInt(smallCount) * BigInt(SLOT_SIZE), true);
  umem.view.setUint32(16, SLOT_SIZE, true);
  umem.view.setUint32(20, HEADROOM, true);
  check(
    libc.setsockopt(descriptor, SOL_XDP, XDP_UMEM_REG, umem.address, 32),
    "register the packet pool as UMEM",
  );
}

/** One of the four struct xdp_ring_offset in struct xdp_mmap_offsets. */
function ringOffsets(part: number): RingState["offsets"] {
  const word = (index: number): number => offsets.words[part * 8 + index * 2]!;
  return { producer: word(0), consumer: word(1), entries: word(2), flags: word(3) };
}
