/**
 * Receives frames with virtio headers from packet sockets, straight into slots, by recvmmsg.
 *
 * Two buffers a message: the first ends with a small slot, the second is a large slot from where
 * the first would have ended. A frame that is too long for the small slot goes on in the large one;
 * only then is something copied, its first part, in front of the rest.
 *
 *   small slot   … | virtio header | frame, first 1790 bytes |
 *   large slot   … |                 (copied here)            | frame, the rest |
 *
 * All ports of a worker share one receiver, which keeps some large slots between two calls: they
 * are too few to keep some for each port. Run by the worker that owns the allocator.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { LARGE_FRAME_MAX, poolViews, SMALL_FRAME_MAX } from "@rhone/rings/pool";
import type { SlotAllocator } from "@rhone/rings/slot-allocator";
import { SIZE as VLAN_TAG_SIZE } from "@rhone/wire/vlan";
import { MessageVector } from "./message-vector.ts";
import type { PortContext } from "./port.ts";
import * as virtio from "./virtio-header.ts";

/** Messages of one system call. */
const BURST = 64;
/** Large slots that the receiver keeps at most, and never more than half of a worker's. */
const LARGE_MAX = 32;

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
  /** Slots that wait for frames: -1 none. The messages that have a large one come first. */
  readonly #small = new Int32Array(BURST).fill(-1);
  readonly #large = new Int32Array(BURST).fill(-1);
  readonly #largeMax: number;
  #largeCount = 0;
  #hasRunOut = false;
  #users = 0;

  private constructor(allocator: SlotAllocator) {
    this.#allocator = allocator;
    this.#largeMax = Math.min(LARGE_MAX, Math.ceil(allocator.largeFree / 2));
    for (let i = 0; i < BURST; i++) this.#messages.setBufferCount(i, 1);
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

  /** Frees all slots when the last port of the worker closes. */
  close(): void {
    if (--this.#users > 0) return;
    for (let i = 0; i < BURST; i++) {
      if (this.#small[i]! >= 0) this.#allocator.give(this.#small[i]!);
      if (this.#large[i]! >= 0) this.#allocator.give(this.#large[i]!);
    }
    receivers.delete(this.#allocator);
  }

  /** Receives up to `limit` frames of a port's socket into `slots`; returns how many packets. */
  receive(descriptor: number, context: PortContext, slots: Int32Array, limit: number): number {
    let received = 0;
    this.hasFailed = false;
    while (received < limit) {
      const asked = this.#arm(Math.min(BURST, limit - received));
      // Large slots that this call has used up come home soon: until then frames wait in the
      // socket.
      if (asked === 0 || (received > 0 && this.#hasRunOut)) break;
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

  /** Readies up to `count` messages; returns how many are. */
  #arm(count: number): number {
    this.#fillLarge();
    // Only so many that a long frame finds a large slot; with none, short frames still come.
    const most = this.#largeCount > 0 ? Math.min(count, this.#largeCount) : count;
    for (let i = 0; i < most; i++) {
      if (this.#small[i]! >= 0) continue;
      const slot = this.#allocator.takeSmall();
      if (slot < 0) return i;
      this.#small[i] = slot;
      const at = packet.defaultFrameAt(slot) - virtio.SIZE;
      this.#messages.setBuffer(i, 0, at, virtio.SIZE + SMALL_FRAME_MAX);
    }
    return most;
  }

  /** Closes the gaps that used large slots left, with new ones or else with those behind. */
  #fillLarge(): void {
    const large = this.#large;
    if (this.#largeCount === this.#largeMax) return;
    let last = this.#largeMax - 1;
    let count = 0;
    for (; count < this.#largeMax; count++) {
      if (large[count]! >= 0) continue;
      let slot = this.#allocator.takeLarge();
      if (slot < 0) {
        while (last > count && large[last]! < 0) last--;
        if (last <= count) break;
        slot = large[last]!;
        this.#setLarge(last, -1);
      }
      this.#setLarge(count, slot);
    }
    this.#hasRunOut = count === 0 && this.#largeMax > 0;
    this.#largeCount = count;
  }

  #setLarge(i: number, slot: number): void {
    this.#large[i] = slot;
    this.#messages.setBufferCount(i, slot < 0 ? 1 : 2);
    if (slot < 0) return;
    const at = packet.defaultFrameAt(slot) + SMALL_FRAME_MAX;
    this.#messages.setBuffer(i, 1, at, LARGE_FRAME_MAX - SMALL_FRAME_MAX);
  }

  /** Makes packets of the first `count` messages, behind the `received` ones in `slots`. */
  #takeAll(count: number, context: PortContext, slots: Int32Array, received: number): number {
    const { index, counters } = context;
    let packets = received;
    let total = 0;
    for (let i = 0; i < count; i++) {
      if (this.#messages.isTruncated(i)) {
        const reason = this.#large[i]! < 0 ? DROP["pool-exhausted"] : DROP["frame-too-long"];
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
    const small = this.#small[i]!;
    const firstAt = packet.defaultFrameAt(small);
    let slot = small;
    if (length <= SMALL_FRAME_MAX) {
      this.#small[i] = -1;
    } else {
      slot = this.#large[i]!;
      this.#setLarge(i, -1);
      this.#largeCount--;
      bytes.copyWithin(packet.defaultFrameAt(slot), firstAt, firstAt + SMALL_FRAME_MAX);
    }
    packet.begin(slot, packet.defaultFrameAt(slot), length, device);
    virtio.read(firstAt - virtio.SIZE, slot);
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
