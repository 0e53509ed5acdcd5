/**
 * XDP programs that send what arrives on a queue to the AF_XDP socket that stands in a map under
 * the queue's number, and pass the rest on to the kernel: the one of a port, and parts of others.
 */
import * as bpf from "./bpf.ts";
import { libc, NativeError } from "./native.ts";

const BPF_REDIRECT_MAP = 51; // number of the helper function
const RX_QUEUE_INDEX = 16; // byte offset in struct xdp_md
const XDP_PASS = 2;
const XDP_FLAGS_SKB_MODE = 2;
const XDP_FLAGS_DRV_MODE = 4;

/** A program on a device. */
export interface Attachment {
  /** It stays attached for as long as this is open. */
  readonly descriptor: number;
  /** Whether the driver runs it; if not, the kernel does, for frames that it has copied. */
  readonly isNative: boolean;
}

/**
 * Attaches the program to a device: in the driver where it can, else in front of the stack.
 * `sockets` are by queue. Throws NativeError.
 */
export function attachRedirect(device: number, sockets: ReadonlyMap<number, number>): Attachment {
  const size = Math.max(...sockets.keys()) + 1;
  const map = createSocketMap(size);
  try {
    putSockets(map, sockets);
    const instructions = [bpf.loadWord(2, 1, RX_QUEUE_INDEX), ...redirectTo(map), bpf.exit];
    return attachProgram(device, instructions);
  } finally {
    libc.close(map); // The program holds it, and the link holds the program.
  }
}

/** Sends the frame to the map's socket for register 2; without one, the kernel gets it. */
export function redirectTo(map: number): bpf.Instruction[] {
  return [bpf.loadMap(1, map), bpf.moveImmediate(3, XDP_PASS), bpf.call(BPF_REDIRECT_MAP)];
}

/** A map for the sockets of so many queues; it is empty. */
export function createSocketMap(size: number): number {
  return bpf.createMap(bpf.MAP_TYPE_XSKMAP, size, "make the socket map");
}

/**
 * From now on a program with this map sends what arrives on a queue to its socket; one that closes
 * leaves the map by itself.
 */
export function putSockets(map: number, sockets: ReadonlyMap<number, number>): void {
  for (const [queue, socket] of sockets) {
    bpf.updateMap(map, queue, socket, `put the socket of queue ${queue} into its map`);
  }
}

/** Attaches a program to a device, in the same way. */
export function attachProgram(
  device: number,
  instructions: readonly bpf.Instruction[],
): Attachment {
  const { PROG_TYPE_XDP, ATTACH_XDP } = bpf;
  const program = bpf.loadProgram(PROG_TYPE_XDP, ATTACH_XDP, instructions, "load XDP program");
  try {
    return attach(program, device);
  } finally {
    libc.close(program);
  }
}

function attach(program: number, device: number): Attachment {
  const attachAs = (mode: number): number =>
    bpf.createLink(program, device, bpf.ATTACH_XDP, mode, "attach the XDP program");
  try {
    return { descriptor: attachAs(XDP_FLAGS_DRV_MODE), isNative: true };
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    return { descriptor: attachAs(XDP_FLAGS_SKB_MODE), isNative: false };
  }
}
