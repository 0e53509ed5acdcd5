/**
 * The smallest part of eBPF that ports need: a few instructions, maps, programs and links (bpf(2),
 * RFC 9669). Every descriptor is close-on-exec, and a link ends with its descriptor: whatever
 * happens to the process, no program stays behind on a device.
 */
import { check, EAGAIN, libc, NativeError } from "./native.ts";
import { allocate, putText } from "./native-memory.ts";

const SYS_BPF = process.arch === "arm64" ? 280n : 321n;
const MAP_CREATE = 0;
const MAP_UPDATE_ELEM = 2;
const PROG_LOAD = 5;
const PROG_TEST_RUN = 10;
const LINK_CREATE = 28;
const TEST_XDP_LIVE_FRAMES = 2;
const LOAD_TRIES = 10;
const ATTRIBUTES_SIZE = 128; // bytes; the kernel accepts more than it knows when the rest is zero

export const MAP_TYPE_XSKMAP = 17;
export const PROG_TYPE_SOCKET_FILTER = 1;
export const PROG_TYPE_SCHED_CLS = 3;
export const PROG_TYPE_XDP = 6;
export const ATTACH_XDP = 37;
export const ATTACH_TCX_INGRESS = 46;

/** An instruction, RFC 9669 §3: eight bytes as two little-endian words; some take two. */
export type Instruction = readonly number[];

const instruction = (
  opcode: number,
  target: number,
  source: number,
  offset: number,
  immediate: number,
): Instruction => [opcode | (target << 8) | (source << 12) | (offset << 16), immediate];

export const moveImmediate = (target: number, value: number): Instruction =>
  instruction(0xb7, target, 0, 0, value);
export const moveRegister = (target: number, source: number): Instruction =>
  instruction(0xbf, target, source, 0, 0);
export const addImmediate = (target: number, value: number): Instruction =>
  instruction(0x07, target, 0, 0, value);
export const shiftLeftImmediate = (target: number, value: number): Instruction =>
  instruction(0x67, target, 0, 0, value);
export const andImmediate = (target: number, value: number): Instruction =>
  instruction(0x57, target, 0, 0, value);
/** Goes on `offset` instructions further when the register is greater, unsigned. */
export const jumpIfGreater = (target: number, source: number, offset: number): Instruction =>
  instruction(0x2d, target, source, offset, 0);
/** Goes on `offset` instructions further when the lower half of the register is not the value. */
export const jumpUnlessEqual = (target: number, value: number, offset: number): Instruction =>
  instruction(0x56, target, 0, offset, value);
export const jumpIfEqual = (target: number, value: number, offset: number): Instruction =>
  instruction(0x16, target, 0, offset, value);
export const xor = (target: number, source: number): Instruction =>
  instruction(0xaf, target, source, 0, 0);
export const multiply32Immediate = (target: number, value: number): Instruction =>
  instruction(0x24, target, 0, 0, value);
export const shiftRight32Immediate = (target: number, value: number): Instruction =>
  instruction(0x74, target, 0, 0, value);
/**
 * Loads from the frame of which register 6 has the context into register 0, most significant byte
 * first; behind the frame's end the program ends and returns 0. Registers 1 to 5 are lost.
 */
export const loadFrameWord = (at: number): Instruction => instruction(0x20, 0, 0, 0, at);
export const loadFrameHalf = (at: number): Instruction => instruction(0x28, 0, 0, 0, at);
export const loadFrameByte = (at: number): Instruction => instruction(0x30, 0, 0, 0, at);
/** As `loadFrameWord`, at the sum of a register and a number. */
export const loadFrameWordBehind = (source: number, at: number): Instruction =>
  instruction(0x40, 0, source, 0, at);
export const storeHalf = (target: number, source: number, offset: number): Instruction =>
  instruction(0x6b, target, source, offset, 0);
export const loadWord = (target: number, source: number, offset: number): Instruction =>
  instruction(0x61, target, source, offset, 0);
export const loadHalf = (target: number, source: number, offset: number): Instruction =>
  instruction(0x69, target, source, offset, 0);
export const loadByte = (target: number, source: number, offset: number): Instruction =>
  instruction(0x71, target, source, offset, 0);
/** Loads a map's address by its descriptor: BPF_PSEUDO_MAP_FD in a 16-byte instruction. */
export const loadMap = (target: number, map: number): Instruction => [
  ...instruction(0x18, target, 1, 0, map),
  0,
  0,
];
export const call = (helper: number): Instruction => instruction(0x85, 0, 0, 0, helper);
export const exit: Instruction = instruction(0x95, 0, 0, 0, 0);

// What the kernel reads lies here, so that it lives during the call.
const INSTRUCTIONS_MAX = 64;
const attributes = allocate(ATTRIBUTES_SIZE);
const entry = allocate(8);
const code = allocate(INSTRUCTIONS_MAX * 8);
const license = allocate(16);
putText(license, "Apache-2.0");

export function createMap(type: number, entries: number, what: string): number {
  attributes.words.fill(0);
  attributes.words.set([type, 4, 4, entries]); // Keys and values of four bytes.
  return bpf(MAP_CREATE, what);
}

export function updateMap(map: number, key: number, value: number, what: string): void {
  entry.words.set([key, value]);
  attributes.words.fill(0);
  attributes.words[0] = map;
  attributes.view.setBigUint64(8, entry.address, true);
  attributes.view.setBigUint64(16, entry.address + 4n, true);
  bpf(MAP_UPDATE_ELEM, what);
}

export function loadProgram(
  type: number,
  attachType: number,
  instructions: readonly Instruction[],
  what: string,
): number {
  const words = instructions.flat();
  code.words.set(words);
  attributes.words.fill(0);
  attributes.words[0] = type;
  attributes.words[1] = words.length / 2;
  attributes.view.setBigUint64(8, code.address, true);
  attributes.view.setBigUint64(16, license.address, true);
  attributes.words[68 / 4] = attachType;
  for (let tries = 1; ; tries++) {
    try {
      return bpf(PROG_LOAD, what);
    } catch (error) {
      // The kernel gives up verifying when the thread gets a signal, as V8 sends them.
      const isInterrupted = error instanceof NativeError && error.errno === EAGAIN;
      if (!isInterrupted || tries === LOAD_TRIES) throw error;
    }
  }
}

/** Attaches a program to a device for as long as the descriptor that is returned stays open. */
export function createLink(
  program: number,
  device: number,
  attachType: number,
  flags: number,
  what: string,
): number {
  attributes.words.fill(0);
  attributes.words.set([program, device, attachType, flags]);
  return bpf(LINK_CREATE, what);
}

/**
 * Runs an XDP program on `count` copies of the frame at `address`, as if they arrived at a device;
 * what it redirects is really sent (BPF_F_TEST_XDP_LIVE_FRAMES).
 */
export function runLiveFrames(
  program: number,
  address: bigint,
  size: number,
  count: number,
  batch: number,
): void {
  attributes.words.fill(0);
  attributes.words[0] = program;
  attributes.words[2] = size;
  attributes.view.setBigUint64(16, address, true);
  attributes.words[32 / 4] = count;
  attributes.words[64 / 4] = TEST_XDP_LIVE_FRAMES;
  attributes.words[72 / 4] = batch;
  bpf(PROG_TEST_RUN, "run the program on live frames");
}

function bpf(command: number, what: string): number {
  const size = BigInt(ATTRIBUTES_SIZE);
  return check(libc.syscall(SYS_BPF, BigInt(command), attributes.address, size), `bpf: ${what}`);
}
