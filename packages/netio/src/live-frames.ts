/**
 * A generator of load: the kernel sends copies of one UDP frame by a device, as fast as it can,
 * from source ports that an XDP program draws at random. For benches; run in the namespace of the
 * device.
 *
 * The device's other end must poll for what is redirected into it: it has an XDP program in its
 * driver, or generic receive offload (ethtool -K DEVICE gro on).
 */
import * as bpf from "./bpf.ts";
import { deviceIndex } from "./device.ts";
import { libc } from "./native.ts";
import { allocate } from "./native-memory.ts";

const BPF_GET_PRANDOM_U32 = 7; // numbers of helper functions
const BPF_REDIRECT = 23;
const DATA = 0; // byte offsets in struct xdp_md
const DATA_END = 4;
const XDP_DROP = 1;
const SOURCE_PORT = 34; // byte offset in an IPv4 frame without options
const HEADERS_END = 42;
/** Frames of one call: a second or so, since each call pauses for 20 ms in the end. */
const FRAMES_PER_CALL = 1 << 24;
const BATCH = 64;

export class LiveFrames {
  readonly #program: number;
  readonly #frame: ReturnType<typeof allocate>;
  readonly #size: number;

  /**
   * `frame` is an IPv4 UDP frame without checksum; its source port becomes 1024 and up, one of
   * `flows`, a power of two and at most 256. Throws NativeError.
   */
  constructor(device: string, frame: Uint8Array, flows: number) {
    this.#size = frame.length;
    this.#frame = allocate(frame.length);
    for (const [at, byte] of frame.entries()) this.#frame.view.setUint8(at, byte);
    const instructions = [
      bpf.moveRegister(6, 1),
      bpf.call(BPF_GET_PRANDOM_U32),
      bpf.andImmediate(0, flows - 1),
      // The port as it lies in memory: 4 in the high byte, the flow in the low one.
      ...swapInto(7, 0),
      bpf.loadWord(2, 6, DATA),
      bpf.loadWord(3, 6, DATA_END),
      bpf.moveRegister(4, 2),
      bpf.addImmediate(4, HEADERS_END),
      bpf.jumpIfGreater(4, 3, 5),
      bpf.storeHalf(2, 7, SOURCE_PORT),
      bpf.moveImmediate(1, deviceIndex(device)),
      bpf.moveImmediate(2, 0),
      bpf.call(BPF_REDIRECT),
      bpf.exit,
      bpf.moveImmediate(0, XDP_DROP),
      bpf.exit,
    ];
    const { PROG_TYPE_XDP, ATTACH_XDP } = bpf;
    this.#program = bpf.loadProgram(PROG_TYPE_XDP, ATTACH_XDP, instructions, "load the generator");
  }

  /** Sends some million frames; returns when they are gone. */
  send(): void {
    const { address } = this.#frame;
    bpf.runLiveFrames(this.#program, address, this.#size, FRAMES_PER_CALL, BATCH);
  }

  close(): void {
    libc.close(this.#program);
  }
}

/** flow → (flow << 8 | 4): stored little-endian it reads as port 1024 + flow. */
function swapInto(target: number, source: number): bpf.Instruction[] {
  return [
    bpf.moveRegister(target, source),
    bpf.shiftLeftImmediate(target, 8),
    bpf.addImmediate(target, 4),
  ];
}
