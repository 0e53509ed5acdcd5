/**
 * The XDP program of a port: sends what arrives on a queue to the AF_XDP socket that stands in the
 * map under the queue's number, and passes the rest on to the kernel.
 */
import * as bpf from "./bpf.ts";
import { libc, NativeError } from "./native.ts";

const BPF_REDIRECT_MAP = 51; // number of the helper function
const RX_QUEUE_INDEX = 16; // byte offset in struct xdp_md
const XDP_PASS = 2;
const XDP_FLAGS_SKB_MODE = 2;
const XDP_FLAGS_DRV_MODE = 4;

/**
 * Attaches the program to a device for as long as the descriptor that is returned stays open: in
 * the driver where it can, else in front of the stack. Throws NativeError.
 */
export function attachRedirect(device: number, queue: number, socket: number): number {
  const map = bpf.createMap(bpf.MAP_TYPE_XSKMAP, queue + 1, "make the socket map");
  try {
    bpf.updateMap(map, queue, socket, "put the socket into its map");
    const instructions = [
      bpf.loadWord(2, 1, RX_QUEUE_INDEX),
      bpf.loadMap(1, map),
      bpf.moveImmediate(3, XDP_PASS),
      bpf.call(BPF_REDIRECT_MAP),
      bpf.exit,
    ];
    const { PROG_TYPE_XDP, ATTACH_XDP } = bpf;
    const program = bpf.loadProgram(PROG_TYPE_XDP, ATTACH_XDP, instructions, "load XDP program");
    try {
      return attach(program, device);
    } finally {
      libc.close(program);
    }
  } finally {
    // The program holds the map, and the link holds the program.
    libc.close(map);
  }
}

function attach(program: number, device: number): number {
  const what = "attach the XDP program";
  try {
    return bpf.createLink(program, device, bpf.ATTACH_XDP, XDP_FLAGS_DRV_MODE, what);
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    return bpf.createLink(program, device, bpf.ATTACH_XDP, XDP_FLAGS_SKB_MODE, what);
  }
}
