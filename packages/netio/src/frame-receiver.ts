/**
 * Receives frames with virtio headers from packet sockets, straight into slots, by recvmmsg; and
 * from TAP devices, by readv.
 *
 * All ports of a worker share one receiver, which keeps some large slots between two calls: they
 * are too few to keep some for each port. Run by the worker that owns the allocator.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import { SIZE as VLAN_TAG_SIZE } from "@rhone/wire/vlan";
import { MessageVector } from "./message-vector.ts";
import type { PortContext } from "./port.ts";
import { ReceiveBuffers } from "./receive-buffers.ts";
import * as virtio from "./virtio-header.ts";

/** Messages of one system call. */
const BURST = 64;
const ADDRESSES_SIZE = 12; // bytes of destination and source in front of a VLAN tag

// The control message with struct tpacket_auxdata, packet(7): offsets behind its header of 16
// bytes.
const CONTROL_SIZE = 40;
const AUX_STATUS = 16;
const AUX_VLAN_TCI = 32;
const AUX_VLAN_TPID = 34;
const AUX_END = 36;
const TP_STATUS_VLAN_VALID = 0x10;

const { bytes, view } = poolViews();
const receivers = new WeakMap<SlotAllocator, FrameReceiver>();

export class FrameReceiver {
  /** Whether the last `receive` ended with an error, which errno then tells. */
  hasFailed = false;
  readonly #allocator: SlotAllocator;
  readonly #messages = new MessageVector({
    count: BURST,
    buffersPerMessage: 2,
    hasNames: false,
    controlSize: CONTROL_SIZE,
  });
  readonly #buffers: ReceiveBuffers;
  #users = 0;

  private constructor(allocator: SlotAllocator) {
    this.#allocator = allocator;
    this.#buffers = new ReceiveBuffers(allocator, this.#messages, BURST, virtio.SIZE);
  }

  /** The receiver of a worker; each port that opens it closes it once. */
  static open(allocator: SlotAllocator): FrameReceiver {
    let receiver = receivers.get(allocator);
    if (receiver === undefined) {
      receiver = new FrameReceiver(allocator);
      receivers.set(allocator, receiver);
    }
    receiver.#users++;
    return receiver;
  }

  /** Slots that wait for frames, of all ports of a worker. */
  static slotsOf(allocator: SlotAllocator): number {
    return receivers.get(allocator)?.slotsWaiting ?? 0;
  }

  get slotsWaiting(): number {
    return this.#buffers.count;
  }

  /** Frees all slots when the last port of the worker closes. */
  close(): void {
    if (--this.#users > 0) return;
    this.#buffers.close();
    receivers.delete(this.#allocator);
  }

  /** Receives up to `limit` frames of a port's socket into `slots`; returns how many packets. */
  receive(descriptor: number, context: PortContext, slots: Int32Array, limit: number): number {
    let received = 0;
    this.hasFailed = false;
    while (received < limit) {
      const asked = this.#buffers.arm(Math.min(BURST, limit - received));
      // Large slots that this call has used up come home soon: until then frames wait in the
      // socket.
      if (asked === 0 || (received > 0 && this.#buffers.hasRunOut)) break;
      const came = this.#messages.receive(descriptor, asked);
      if (came < 0) {
        this.hasFailed = true;
        break;
      }
      received = this.#takeAll(came, context, slots, received);
      if (came < asked) break;
    }
    return received;
  }

  /** The same from what is no socket, a TAP device: one frame a system call. */
  read(descriptor: number, context: PortContext, slots: Int32Array, limit: number): number {
    let received = 0;
    this.hasFailed = false;
    while (received < limit) {
      // A frame that is too long for its buffers would only be cut off.
      if (this.#buffers.arm(1) === 0 || this.#buffers.hasRunOut) break;
      if (this.#messages.readFirst(descriptor) < 0) {
        this.hasFailed = true;
        break;
      }
      received = this.#takeAll(1, context, slots, received);
    }
    return received;
  }

  /** Makes packets of the first `count` messages, behind the `received` ones in `slots`. */
  #takeAll(count: number, context: PortContext, slots: Int32Array, received: number): number {
    const { index, counters } = context;
    let packets = received;
    let total = 0;
    for (let i = 0; i < count; i++) {
      if (this.#messages.isTruncated(i)) {
        const reason = this.#buffers.hasLargeAt(i)
          ? DROP["frame-too-long"]
          : DROP["pool-exhausted"];
        counters.countPortDrop(index, reason);
        continue;
      }
      const slot = this.#take(i, index);
      total += packet.length(slot);
      slots[packets++] = slot;
    }
    counters.countReceived(index, packets - received, total);
    return packets;
  }

  #take(i: number, device: number): number {
    const length = this.#messages.length(i) - virtio.SIZE;
    const headerAt = this.#buffers.headerAt(i);
    const slot = this.#buffers.take(i, length);
    packet.begin(slot, packet.defaultFrameAt(slot), length, device);
    virtio.read(headerAt, slot);
    this.#restoreTag(i, slot);
    return slot;
  }

  /** Puts a VLAN tag back that the kernel had taken out of the frame. */
  #restoreTag(i: number, slot: number): void {
    const control = this.#messages.view;
    const at = this.#messages.controlAt(i);
    if (this.#messages.receivedControlSize(i) < AUX_END) return;
    if ((control.getUint32(at + AUX_STATUS, true) & TP_STATUS_VLAN_VALID) === 0) return;
    const frameAt = packet.frameAt(slot) - VLAN_TAG_SIZE;
    const addressesAt = frameAt + VLAN_TAG_SIZE;
    bytes.copyWithin(frameAt, addressesAt, addressesAt + ADDRESSES_SIZE);
    view.setUint16(frameAt + ADDRESSES_SIZE, control.getUint16(at + AUX_VLAN_TPID, true));
    view.setUint16(frameAt + ADDRESSES_SIZE + 2, control.getUint16(at + AUX_VLAN_TCI, true));
    packet.setFrameAt(slot, frameAt);
    packet.setLength(slot, packet.length(slot) + VLAN_TAG_SIZE);
    // The kernel counted both from the frame without its tag.
    const checksumStart = packet.checksumStart(slot);
    if (checksumStart !== 0) packet.setChecksumStart(slot, checksumStart + VLAN_TAG_SIZE);
    const headerLength = packet.headerLength(slot);
    if (headerLength !== 0) packet.setHeaderLength(slot, headerLength + VLAN_TAG_SIZE);
  }
}
