/**
 * A port over a TAP device (Documentation/networking/tuntap.rst) with virtio headers: super-frames
 * and unfinished checksums come and go whole. For a workload in a namespace that the device is
 * moved into. Run by the worker that owns the port.
 *
 * The device that is opened here is the one that the workload sees. It is made when there is none
 * of that name, and then ends with its last queue; one that was made before, by `ip tuntap add`,
 * stays.
 *
 * Each queue is a port of its own, which any worker may have: the kernel puts a flow's frames on
 * one of them always (tap-steering.ts), and takes frames from each.
 */
import { DROP } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { hasDevice } from "./device.ts";
import { FrameReceiver } from "./frame-receiver.ts";
import { MessageVector } from "./message-vector.ts";
import type { MovablePort, PortState } from "./movable-port.ts";
import * as native from "./native.ts";
import { allocate, putText } from "./native-memory.ts";
import type { PortContext } from "./port.ts";
import { steerByFlow } from "./tap-steering.ts";
import * as virtio from "./virtio-header.ts";

const SYS_IOCTL = process.arch === "arm64" ? 29n : 16n;
const O_RDWR = 2;
const O_NONBLOCK = 0x800;
const O_CLOEXEC = 0x80000;
const TUNSETIFF = 0x4004_54can;
const TUNSETOFFLOAD = 0x4004_54d0n;
const TUNSETVNETHDRSZ = 0x4004_54d8n;

// Flags of struct ifreq, behind the device's name of 16 bytes.
const REQUEST_SIZE = 40;
const REQUEST_FLAGS = 16;
const IFF_TAP = 2;
const IFF_MULTI_QUEUE = 0x100;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;

/** TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN: what we take unfinished and whole. */
const OFFLOADS = 0x0f;
/** TUN_F_USO4 and TUN_F_USO6, from Linux 6.2 on. */
const UDP_OFFLOADS = 0x60;

const { libc, check, errno } = native;
const path = allocate(16);
const request = allocate(REQUEST_SIZE);
const headerSize = allocate(4);

/** Of all ports of this thread: it holds nothing between two calls. */
const outgoing = new MessageVector({
  count: 1,
  buffersPerMessage: 1,
  hasNames: false,
  controlSize: 0,
});

/** Of one device. */
export interface OpenTap {
  readonly port: MovablePort;
  /** Its further queues: each waits to be adopted, by any worker, or to be closed. */
  readonly further: readonly TapState[];
}

type TapState = Extract<PortState, { driver: "tap" }>;

/**
 * Opens, or makes, the TAP device of that name, with so many queues; with one, when it was made for
 * one or the kernel does not spread flows as we want it. Throws when the name is that of another
 * kind of device, or the kernel refuses.
 */
export function openTapQueues(device: string, context: PortContext, queues: number): OpenTap {
  const opened = [openFile()];
  const [first] = opened as [number];
  try {
    const mayHaveMany = attachFirst(first, device);
    headerSize.words[0] = virtio.SIZE;
    check(control(first, TUNSETVNETHDRSZ, headerSize.address), "set TUNSETVNETHDRSZ");
    const hasUdp = control(first, TUNSETOFFLOAD, BigInt(OFFLOADS | UDP_OFFLOADS)) === 0;
    if (!hasUdp) check(control(first, TUNSETOFFLOAD, BigInt(OFFLOADS)), "set TUNSETOFFLOAD");
    // The program first: no frame is ever spread in another way.
    if (queues > 1 && mayHaveMany && steerByFlow(first)) openFurther(device, queues, opened);
    const further = opened.slice(1).map((descriptor): TapState => {
      return { driver: "tap", descriptor, device: context.index };
    });
    return { port: new TapPort(first, context), further };
  } catch (error) {
    closeAll(opened);
    throw error;
  }
}

/** The same with one queue. */
export function openTap(device: string, context: PortContext): MovablePort {
  return openTapQueues(device, context, 1).port;
}

/** Goes on with a port that another thread detached, or died with. */
export function adoptTap(
  { descriptor, device }: TapState,
  context: Omit<PortContext, "index">,
): MovablePort {
  return new TapPort(descriptor, { ...context, index: device });
}

function closeAll(descriptors: number[]): void {
  while (descriptors.length > 0) libc.close(descriptors.pop()!);
}

function openFile(): number {
  putText(path, "/dev/net/tun");
  return check(libc.open(path.address, O_RDWR | O_NONBLOCK | O_CLOEXEC), "open /dev/net/tun");
}

/** Whether the device can have more queues than this one. */
function attachFirst(descriptor: number, device: string): boolean {
  if (attach(descriptor, device, IFF_MULTI_QUEUE)) return true;
  // A device that stays may have been made with one queue.
  if (attach(descriptor, device, 0)) return false;
  const number = errno();
  const isOther = number === native.EINVAL && hasDevice(device);
  const asked = `open the TAP device "${device}"`;
  throw new native.NativeError(isOther ? `${asked}, which is of another kind` : asked, number);
}

/** False when the kernel refuses, as `errno` says. */
function attach(descriptor: number, device: string, flags: number): boolean {
  putText(request, device);
  const all = flags | IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  request.view.setUint16(REQUEST_FLAGS, all, true);
  return control(descriptor, TUNSETIFF, request.address) === 0;
}

/** A device has 256 queues at most, and others may have some: fewer are no failure. */
function openFurther(device: string, queues: number, opened: number[]): void {
  while (opened.length < queues) {
    const descriptor = openFile();
    if (!attach(descriptor, device, IFF_MULTI_QUEUE)) {
      libc.close(descriptor);
      return;
    }
    opened.push(descriptor);
  }
}

function control(descriptor: number, command: bigint, argument: bigint): number {
  return libc.syscall(SYS_IOCTL, BigInt(descriptor), command, argument);
}

class TapPort implements MovablePort {
  readonly descriptors: readonly number[];
  readonly carriesOffloads = true;
  readonly lent = 0; // The kernel copies.
  isUp = true;
  readonly #descriptor: number;
  readonly #context: PortContext;
  readonly #receiver: FrameReceiver;
  #isClosed = false;

  constructor(descriptor: number, context: PortContext) {
    this.descriptors = [descriptor];
    this.#descriptor = descriptor;
    this.#context = context;
    this.#receiver = FrameReceiver.open(context.allocator);
  }

  receive(slots: Int32Array, limit: number): number {
    if (!this.isUp) return 0;
    const receiver = this.#receiver;
    const count = receiver.read(this.#descriptor, this.#context, slots, limit);
    if (receiver.hasFailed && native.meansDeviceDown(errno())) this.isUp = false;
    return count;
  }

  transmit(slots: Int32Array, count: number): void {
    const { index, allocator, counters } = this.#context;
    let sent = 0;
    let total = 0;
    let reason = this.isUp ? -1 : DROP["device-down"];
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      if (reason < 0 && this.#send(slot)) {
        sent++;
        total += packet.length(slot);
      } else {
        // What is refused for itself does not hold the others back; a queue or a device does.
        if (reason < 0) reason = this.#refusal();
        counters.countPortDrop(index, reason);
        if (reason === DROP["device-refused"]) reason = -1;
      }
      allocator.give(slot);
    }
    counters.countSent(index, sent, total);
  }

  reclaim(): boolean {
    return false; // The kernel copies: nothing is ever in flight.
  }

  get state(): PortState {
    return { driver: "tap", descriptor: this.#descriptor, device: this.#context.index };
  }

  detach(): PortState {
    this.#isClosed = true;
    this.#receiver.close();
    this.isUp = false;
    return this.state;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    libc.close(this.#descriptor);
    this.#receiver.close();
    this.isUp = false;
  }

  #send(slot: number): boolean {
    const at = packet.frameAt(slot) - virtio.SIZE;
    virtio.write(at, slot);
    outgoing.setBuffer(0, 0, at, virtio.SIZE + packet.length(slot));
    return outgoing.writeFirst(this.#descriptor) >= 0;
  }

  /** Why the kernel has just refused a frame. */
  #refusal(): number {
    const number = errno();
    if (native.meansDeviceDown(number)) this.isUp = false;
    // The workload switched its device off: the port stays, and so does the device.
    if (!this.isUp || number === native.EIO) return DROP["device-down"];
    const isFull = number === native.EAGAIN || number === native.ENOBUFS;
    return isFull ? DROP["device-full"] : DROP["device-refused"];
  }
}
