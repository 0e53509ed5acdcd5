/**
 * A port over a packet socket (packet(7)) with virtio headers: super-frames and unfinished checksums
 * come and go whole, so bulk TCP costs one packet for 64 KiB. Run by the worker that owns the port.
 *
 * The kernel writes frames straight into slots by recvmmsg. Two vectors a message: the first ends
 * with a small slot, the second lies in a large slot where a frame too long for the small one goes
 * on; only such a frame is copied, its first part, in front of the rest.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { LARGE_FRAME_MAX, poolViews, SMALL_FRAME_MAX } from "@rhone/rings/pool";
import { deviceIndex } from "./device.ts";
import { MessageVector } from "./message-vector.ts";
import * as native from "./native.ts";
import { allocate } from "./native-memory.ts";
import type { Port, PortContext } from "./port.ts";
import { hideFromHost } from "./shadow.ts";
import { openSocket, setBufferSizes, setOption } from "./socket-option.ts";
import * as virtio from "./virtio-header.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0x800;
const ETH_P_ALL_BE = 0x0300;
const BUFFER_SIZE = 8 * 1024 * 1024;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_AUXDATA = 8;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const PACKET_MR_PROMISC = 1;

/** Of struct tpacket_auxdata in a control message: behind its header of 16 bytes. */
const AUX_STATUS = 16;
const AUX_VLAN_TCI = 32;
const AUX_VLAN_TPID = 34;
const TP_STATUS_VLAN_VALID = 0x10;
const VLAN_TAG_SIZE = 4;
const CONTROL_SIZE = 40;

/** Messages of one system call. */
const BURST = 32;

const { bytes, view } = poolViews();
const { libc, check } = native;
const membership = allocate(16);
const socketAddress = allocate(20);

/** Opens the device of that name. Throws when it is missing or the kernel refuses. */
export function openAfPacket(device: string, context: PortContext): Port {
  const index = deviceIndex(device);
  const socket = openSocket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0, device);
  try {
    configure(socket, index);
    return new AfPacketPort(socket, hideFromHost(index), context);
  } catch (error) {
    libc.close(socket);
    throw error;
  }
}

function configure(socket: number, device: number): void {
  setBufferSizes(socket, BUFFER_SIZE, BUFFER_SIZE);
  setOption(socket, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
  setOption(socket, SOL_PACKET, PACKET_AUXDATA, 1, "PACKET_AUXDATA");
  setOption(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
  membership.view.setInt32(0, device, true);
  membership.view.setUint16(4, PACKET_MR_PROMISC, true);
  const { address } = membership;
  check(
    libc.setsockopt(socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, address, 16),
    "make the device promiscuous",
  );
  socketAddress.view.setUint16(0, AF_PACKET, true);
  socketAddress.view.setUint16(2, ETH_P_ALL_BE, true);
  socketAddress.view.setInt32(4, device, true);
  check(libc.bind(socket, socketAddress.address, 20), "bind a packet socket");
}

class AfPacketPort implements Port {
  readonly descriptor: number;
  readonly carriesOffloads = true;
  isUp = true;
  readonly #context: PortContext;
  /** Keeps the host's stack away from the device; -1 where the kernel cannot. */
  readonly #hiding: number;
  readonly #incoming = new MessageVector({
    ...{ count: BURST, buffersPerMessage: 2, hasNames: false, controlSize: CONTROL_SIZE },
  });
  readonly #outgoing = new MessageVector({
    ...{ count: BURST, buffersPerMessage: 1, hasNames: false, controlSize: 0 },
  });
  /** Slots that wait in the vectors for frames, -1 where none was free. */
  readonly #small = new Int32Array(BURST).fill(-1);
  readonly #large = new Int32Array(BURST).fill(-1);

  constructor(socket: number, hiding: number, context: PortContext) {
    this.descriptor = socket;
    this.#hiding = hiding;
    this.#context = context;
  }

  receive(slots: Int32Array, limit: number): number {
    let received = 0;
    while (received < limit && this.isUp) {
      const wanted = this.#arm(Math.min(BURST, limit - received));
      if (wanted === 0) break;
      const count = this.#incoming.receive(this.descriptor, wanted);
      if (count <= 0) {
        if (count < 0) this.#onReceiveError();
        break;
      }
      for (let i = 0; i < count; i++) {
        const slot = this.#take(i);
        if (slot >= 0) slots[received++] = slot;
      }
      if (count < wanted) break;
    }
    return received;
  }

  transmit(slots: Int32Array, count: number): void {
    for (let from = 0; from < count; from += BURST) {
      this.#send(slots, from, Math.min(BURST, count - from));
    }
  }

  reclaim(): boolean {
    return false; // The kernel copies: nothing is ever in flight.
  }

  close(): void {
    libc.close(this.descriptor);
    if (this.#hiding >= 0) libc.close(this.#hiding);
    for (let i = 0; i < BURST; i++) {
      if (this.#small[i]! >= 0) this.#context.allocator.give(this.#small[i]!);
      if (this.#large[i]! >= 0) this.#context.allocator.give(this.#large[i]!);
      this.#small[i] = -1;
      this.#large[i] = -1;
    }
    this.isUp = false;
  }

  /** Fills the vectors of the first `count` messages; returns for how many there were slots. */
  #arm(count: number): number {
    const { allocator } = this.#context;
    for (let i = 0; i < count; i++) {
      if (this.#small[i]! < 0) {
        const slot = allocator.takeSmall();
        if (slot < 0) return i;
        this.#small[i] = slot;
        const at = packet.defaultFrameAt(slot) - virtio.SIZE;
        this.#incoming.setBuffer(i, 0, at, virtio.SIZE + SMALL_FRAME_MAX);
      }
      if (this.#large[i]! < 0) {
        const slot = allocator.takeLarge();
        this.#large[i] = slot;
        if (slot >= 0) {
          const at = packet.defaultFrameAt(slot) + SMALL_FRAME_MAX;
          this.#incoming.setBuffer(i, 1, at, LARGE_FRAME_MAX - SMALL_FRAME_MAX);
        }
      }
      this.#incoming.setBufferCount(i, this.#large[i]! < 0 ? 1 : 2);
    }
    return count;
  }

  /** The packet of message `i`, or -1 when it was dropped. */
  #take(i: number): number {
    const { index, counters } = this.#context;
    const length = this.#incoming.length(i) - virtio.SIZE;
    if (this.#incoming.isTruncated(i) || length < 0) {
      const hasLarge = this.#large[i]! >= 0;
      const reason = hasLarge ? DROP["frame-too-long"] : DROP["pool-exhausted"];
      counters.countPortDrop(index, reason);
      return -1;
    }
    const small = this.#small[i]!;
    const firstAt = packet.defaultFrameAt(small);
    let slot = small;
    if (length > SMALL_FRAME_MAX) {
      slot = this.#large[i]!;
      this.#large[i] = -1;
      bytes.copyWithin(packet.defaultFrameAt(slot), firstAt, firstAt + SMALL_FRAME_MAX);
    } else {
      this.#small[i] = -1;
    }
    packet.begin(slot, packet.defaultFrameAt(slot), length, index);
    virtio.read(firstAt - virtio.SIZE, slot);
    this.#restoreTag(i, slot);
    counters.countReceived(index, 1, length);
    return slot;
  }

  /** Puts a VLAN tag back that the kernel had taken out of the frame. */
  #restoreTag(i: number, slot: number): void {
    const messages = this.#incoming;
    if (messages.receivedControlSize(i) < CONTROL_SIZE - 4) return;
    const at = messages.controlAt(i);
    const status = messages.view.getUint32(at + AUX_STATUS, true);
    if ((status & TP_STATUS_VLAN_VALID) === 0) return;
    const frameAt = packet.frameAt(slot) - VLAN_TAG_SIZE;
    const macs = FRAME_MACS_SIZE;
    bytes.copyWithin(frameAt, frameAt + VLAN_TAG_SIZE, frameAt + VLAN_TAG_SIZE + macs);
    view.setUint16(frameAt + macs, messages.view.getUint16(at + AUX_VLAN_TPID, true));
    view.setUint16(frameAt + macs + 2, messages.view.getUint16(at + AUX_VLAN_TCI, true));
    packet.setFrameAt(slot, frameAt);
    packet.setLength(slot, packet.length(slot) + VLAN_TAG_SIZE);
    if (packet.checksumStart(slot) !== 0) {
      packet.setChecksumStart(slot, packet.checksumStart(slot) + VLAN_TAG_SIZE);
    }
  }

  #onReceiveError(): void {
    const code = native.errno();
    // A device that went down says so once, and may come up again under this socket.
    if (code === native.ENODEV || code === native.ENXIO) this.isUp = false;
  }

  #send(slots: Int32Array, from: number, count: number): void {
    const { allocator, counters, index } = this.#context;
    for (let i = 0; i < count; i++) {
      const slot = slots[from + i]!;
      const at = packet.frameAt(slot) - virtio.SIZE;
      virtio.write(at, slot);
      this.#outgoing.setBuffer(i, 0, at, virtio.SIZE + packet.length(slot));
    }
    for (let first = 0; first < count; ) {
      const sent = this.#outgoing.send(this.descriptor, first, count - first);
      if (sent > 0) {
        first += sent;
        continue;
      }
      this.#countUnsent(slots[from + first]!);
      slots[from + first] = -1;
      first++;
    }
    for (let i = 0; i < count; i++) {
      const slot = slots[from + i]!;
      if (slot < 0) continue;
      counters.countSent(index, 1, packet.length(slot));
      allocator.give(slot);
    }
  }

  /** Counts and frees the one packet that the kernel has just refused. */
  #countUnsent(slot: number): void {
    const { allocator, counters, index } = this.#context;
    const code = native.errno();
    let reason: number = DROP["device-refused"];
    if (code === native.EAGAIN || code === native.ENOBUFS) reason = DROP["device-full"];
    else if (native.meansDeviceDown(code)) reason = DROP["device-down"];
    if (code === native.ENODEV || code === native.ENXIO) this.isUp = false;
    counters.countPortDrop(index, reason);
    allocator.give(slot);
  }
}

/** Destination and source address. */
const FRAME_MACS_SIZE = 12;
