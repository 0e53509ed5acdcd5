/**
 * A port over a packet socket (packet(7)) with virtio headers: super-frames and unfinished
 * checksums come and go whole, so bulk TCP costs one packet for 64 KiB. Run by the worker that owns
 * the port.
 *
 * The port has the device for itself: it sees every frame that arrives, and the host's stack none.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { deviceIndex } from "./device.ts";
import { FrameReceiver } from "./frame-receiver.ts";
import { MessageVector } from "./message-vector.ts";
import type { MovablePort, PortState } from "./movable-port.ts";
import * as native from "./native.ts";
import { allocate } from "./native-memory.ts";
import { Overruns } from "./overruns.ts";
import type { PortContext } from "./port.ts";
import { hideFromHost } from "./shadow.ts";
import { openSocket, pendingError, setBufferSizes, setOption } from "./socket-option.ts";
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

/** Messages of one system call. */
const BURST = 64;

const { libc, check } = native;
const membership = allocate(16);
const socketAddress = allocate(20);

/** Of all ports of this thread: it holds nothing between two calls. */
const outgoing = new MessageVector({
  count: BURST,
  buffersPerMessage: 1,
  hasNames: false,
  controlSize: 0,
});

/** Opens the device of that name. Throws when it is missing or down, or the kernel refuses. */
export function openAfPacket(device: string, context: PortContext): MovablePort {
  const index = deviceIndex(device);
  const socket = openSocket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0, device);
  try {
    configure(socket, index);
    const error = pendingError(socket);
    if (error !== 0) throw new native.NativeError(`use the device "${device}"`, error);
    return new AfPacketPort(socket, hideFromHost(index), 0, context);
  } catch (error) {
    libc.close(socket);
    throw error;
  }
}

type AfPacketState = Extract<PortState, { driver: "af-packet" }>;

/** Goes on with a port that another thread detached, or died with. */
export function adoptAfPacket(
  { descriptor, hiding, overruns }: AfPacketState,
  context: PortContext,
): MovablePort {
  return new AfPacketPort(descriptor, hiding, overruns, context);
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

class AfPacketPort implements MovablePort {
  readonly descriptors: readonly number[];
  readonly carriesOffloads = true;
  readonly lent = 0; // The kernel copies.
  isUp = true;
  readonly #descriptor: number;
  readonly #context: PortContext;
  /** Keeps the host's stack away from the device; -1 where the kernel cannot. */
  readonly #hiding: number;
  readonly #receiver: FrameReceiver;
  readonly #overruns: Overruns;
  #isClosed = false;

  constructor(socket: number, hiding: number, overruns: number | null, context: PortContext) {
    this.descriptors = [socket];
    this.#descriptor = socket;
    this.#hiding = hiding;
    this.#context = context;
    this.#receiver = FrameReceiver.open(context.allocator);
    this.#overruns = new Overruns(socket, false, context.index, context.counters, overruns);
  }

  receive(slots: Int32Array, limit: number): number {
    if (!this.isUp) return 0;
    const receiver = this.#receiver;
    const count = receiver.receive(this.#descriptor, this.#context, slots, limit);
    // The socket says once that its device went down. Whether that was all, or the device is gone,
    // is not to be seen from here: who opens the port again finds out.
    if (receiver.hasFailed && native.meansDeviceDown(native.errno())) this.isUp = false;
    this.#overruns.observe(count, limit);
    return count;
  }

  transmit(slots: Int32Array, count: number): void {
    for (let from = 0; from < count; from += BURST) {
      this.#send(slots, from, Math.min(BURST, count - from));
    }
  }

  reclaim(): boolean {
    return false; // The kernel copies: nothing is ever in flight.
  }

  get state(): AfPacketState {
    const descriptor = this.#descriptor;
    return { driver: "af-packet", descriptor, hiding: this.#hiding, overruns: null };
  }

  detach(): PortState {
    this.#isClosed = true;
    this.#receiver.close();
    this.isUp = false;
    return { ...this.state, overruns: this.#overruns.seen };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    libc.close(this.#descriptor);
    if (this.#hiding >= 0) libc.close(this.#hiding);
    this.#receiver.close();
    this.isUp = false;
  }

  #send(slots: Int32Array, from: number, count: number): void {
    const { allocator } = this.#context;
    for (let i = 0; i < count; i++) {
      const slot = slots[from + i]!;
      const at = packet.frameAt(slot) - virtio.SIZE;
      virtio.write(at, slot);
      outgoing.setBuffer(i, 0, at, virtio.SIZE + packet.length(slot));
    }
    for (let first = 0; first < count; ) {
      const sent = this.isUp ? outgoing.send(this.#descriptor, first, count - first) : -1;
      if (sent > 0) {
        this.#countSent(slots, from + first, sent);
        first += sent;
        continue;
      }
      const isSocketFull = native.errno() === native.EAGAIN;
      const reason = this.#refusal();
      // What is refused for itself, or by a queue for the moment, does not hold the others back; a
      // full socket or a missing device takes none of them.
      const refused = isSocketFull || !this.isUp ? count - first : 1;
      this.#context.counters.countPortDrop(this.#context.index, reason, refused);
      first += refused;
    }
    for (let i = 0; i < count; i++) allocator.give(slots[from + i]!);
  }

  #countSent(slots: Int32Array, from: number, count: number): void {
    let total = 0;
    for (let i = 0; i < count; i++) total += packet.length(slots[from + i]!);
    this.#context.counters.countSent(this.#context.index, count, total);
  }

  /** Why the kernel has just refused a frame. */
  #refusal(): number {
    const number = native.errno();
    if (!this.isUp || native.meansDeviceDown(number)) {
      this.isUp = false;
      return DROP["device-down"];
    }
    const isFull = number === native.EAGAIN || number === native.ENOBUFS;
    return isFull ? DROP["device-full"] : DROP["device-refused"];
  }
}
