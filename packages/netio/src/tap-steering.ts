/**
 * Which queue of a TAP device the kernel puts a frame of the workload on: a function of the frame's
 * addresses and ports alone (TUNSETSTEERINGEBPF). Run where such a device is opened.
 *
 * Without it the kernel remembers of each flow by which queue it was last answered, for three
 * seconds, and else goes by a hash of its own: a flow changes queue with its first answer and after
 * a pause, and what waits in the one is overtaken by what comes by the other.
 */
import * as bpf from "./bpf.ts";
import { libc } from "./native.ts";
import { allocate } from "./native-memory.ts";

const SYS_IOCTL = process.arch === "arm64" ? 29n : 16n;
const TUNSETSTEERINGEBPF = 0x8004_54e0n;

// Registers: the first two are the program's own, the third has what was loaded last.
const SUM = 7;
const TRANSPORT_AT = 8;
const LOADED = 0;

// Byte offsets in an untagged frame.
const ETHER_TYPE = 12;
const IP = 14;
const IPV4_FRAGMENT = IP + 6;
const IPV4_PROTOCOL = IP + 9;
const IPV4_ADDRESSES = IP + 12;
const IPV6_NEXT_HEADER = IP + 6;
const IPV6_ADDRESSES = IP + 8;
const IPV6_HEADER_SIZE = 40;

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const TCP = 6;
const UDP = 17;
/** Offset and "more fragments": whoever has one of them may be without ports. */
const FRAGMENT_MASK = 0x3fff;
/** Of the golden ratio: spreads neighbouring addresses and ports over the upper bits. */
const FACTOR = 0x9e37_79b1 | 0;

const descriptor = allocate(4);

/**
 * Has the kernel spread the device's frames over its queues by flow. False when it does not take
 * the program: then the device is no good with several of them.
 */
export function steerByFlow(tap: number): boolean {
  let program = -1;
  try {
    const type = bpf.PROG_TYPE_SOCKET_FILTER;
    program = bpf.loadProgram(type, 0, PROGRAM, "load the program that spreads flows");
  } catch {
    return false;
  }
  descriptor.words[0] = program;
  const argument = [BigInt(tap), TUNSETSTEERINGEBPF, descriptor.address] as const;
  const hasTaken = libc.syscall(SYS_IOCTL, ...argument) === 0;
  libc.close(program); // The device holds it.
  return hasTaken;
}

/** Adds the word of the frame at a byte offset to the sum. */
const add = (at: number): bpf.Instruction[] => [bpf.loadFrameWord(at), bpf.xor(SUM, LOADED)];
const words = (at: number, count: number): bpf.Instruction[] =>
  Array.from({ length: count }, (_, i) => add(at + i * 4)).flat();

/** The kernel takes what it returns modulo the number of queues. */
const MIX: readonly bpf.Instruction[] = [
  bpf.multiply32Immediate(SUM, FACTOR),
  bpf.shiftRight32Immediate(SUM, 16),
  bpf.moveRegister(LOADED, SUM),
  bpf.exit,
];

const PORTS: readonly bpf.Instruction[] = [
  bpf.jumpIfEqual(LOADED, TCP, 1),
  bpf.jumpUnlessEqual(LOADED, UDP, 2),
  bpf.loadFrameWordBehind(TRANSPORT_AT, IP),
  bpf.xor(SUM, LOADED),
  ...MIX,
];

const AS_IPV6: readonly bpf.Instruction[] = [
  bpf.jumpUnlessEqual(LOADED, ETHERTYPE_IPV6, 18 + PORTS.length),
  ...words(IPV6_ADDRESSES, 8),
  bpf.moveImmediate(TRANSPORT_AT, IPV6_HEADER_SIZE),
  bpf.loadFrameByte(IPV6_NEXT_HEADER),
  ...PORTS,
  ...MIX,
];

const AS_IPV4: readonly bpf.Instruction[] = [
  ...words(IPV4_ADDRESSES, 2),
  bpf.loadFrameByte(IP),
  bpf.andImmediate(LOADED, 0x0f),
  bpf.shiftLeftImmediate(LOADED, 2),
  bpf.moveRegister(TRANSPORT_AT, LOADED),
  bpf.loadFrameHalf(IPV4_FRAGMENT),
  bpf.andImmediate(LOADED, FRAGMENT_MASK),
  bpf.jumpUnlessEqual(LOADED, 0, 1 + PORTS.length),
  bpf.loadFrameByte(IPV4_PROTOCOL),
  ...PORTS,
  ...MIX,
];

/** A load behind the frame's end ends the program with 0. */
const PROGRAM: readonly bpf.Instruction[] = [
  bpf.moveRegister(6, 1), // Where loads from a frame expect it.
  bpf.moveImmediate(SUM, 0),
  bpf.loadFrameHalf(ETHER_TYPE),
  bpf.jumpUnlessEqual(LOADED, ETHERTYPE_IPV4, AS_IPV4.length),
  ...AS_IPV4,
  ...AS_IPV6,
];
