/**
 * Copies bytes of the packet pool, and sums them for the Internet checksum (RFC 1071), many at a
 * time. `copyWithin` goes word by word in shared memory, and so does a sum in TypeScript.
 *
 * A WebAssembly module, put together here byte by byte, since nothing is compiled before a start.
 * It adds the 16-bit words as they lie in memory, in the byte order of the machine, and swaps the
 * sum: a ones' complement sum of swapped words is the swapped sum (RFC 1071 §2 B).
 */
import { poolViews, SLOT_SHIFT } from "./pool.ts";
import { I32, instantiate, leb128, V128 } from "./wasm.ts";

// The instructions that are used, as the specification of WebAssembly numbers them.
const BLOCK = [0x02, 0x40];
const LOOP = [0x03, 0x40];
const END = [0x0b];
const BRANCH_TO_LOOP = [0x0c, 0];
const LEAVE_LOOP_IF = [0x0d, 1];
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const constant = (value: number): number[] => [0x41, ...leb128(value)];
const GREATER = [0x4a];
const ADD = [0x6a];
const SUBTRACT = [0x6b];
const AND = [0x71];
const OR = [0x72];
const SHIFT_LEFT = [0x74];
const SHIFT_RIGHT = [0x76];
const LOAD_8 = [0x2d, 0, 0];
const LOAD_16 = [0x2f, 0, 0];
const loadVector = (offset: number): number[] => [0xfd, 0, 0, offset];
const ADD_PAIRS = [0xfd, 0x7f]; // i32x4.extadd_pairwise_i16x8_u
const ADD_VECTORS = [0xfd, 0xae, 1];
const COPY_MEMORY = [0xfc, 10, 0, 0];
const lane = (number: number): number[] => [0xfd, 0x1b, number];

// The parameters of `sum`, and its other variables.
const AT = 0;
const END_AT = 1;
const TOTAL = 2;
const EVEN = 3; // Two vectors of four sums, so that one addition need not wait for the other.
const ODD = 4;

const addTo = (sums: number, offset: number): number[] =>
  [get(sums), get(AT), loadVector(offset), ADD_PAIRS, ADD_VECTORS, set(sums)].flat();
const advance = (size: number): number[] => [get(AT), constant(size), ADD, set(AT)].flat();
/** Repeats the body while `size` bytes are left, and goes on by as many each time. */
const whileLeft = (size: number, ...body: number[][]): number[] => {
  const isOver = [get(AT), get(END_AT), constant(size), SUBTRACT, GREATER, LEAVE_LOOP_IF];
  return [BLOCK, LOOP, ...isOver, ...body, advance(size), BRANCH_TO_LOOP, END, END].flat();
};
const addLane = (sums: number, number: number): number[] =>
  [get(TOTAL), get(sums), lane(number), ADD, set(TOTAL)].flat();
const addCarries = [
  ...[get(TOTAL), constant(0xffff), AND, get(TOTAL), constant(16), SHIFT_RIGHT],
  ...[ADD, set(TOTAL)],
].flat();

// A lane cannot overflow below 512 KiB, and the total not below 64 KiB: see wire/checksum.ts.
const SUM = [
  whileLeft(64, addTo(EVEN, 0), addTo(ODD, 16), addTo(EVEN, 32), addTo(ODD, 48)),
  whileLeft(16, addTo(EVEN, 0)),
  [get(EVEN), get(ODD), ADD_VECTORS, set(EVEN)].flat(),
  ...[0, 1, 2, 3].map((number) => addLane(EVEN, number)),
  whileLeft(2, [get(TOTAL), get(AT), LOAD_16, ADD, set(TOTAL)].flat()),
  whileLeft(1, [get(TOTAL), get(AT), LOAD_8, ADD, set(TOTAL)].flat()),
  addCarries,
  addCarries,
  [get(TOTAL), constant(0xff), AND, constant(8), SHIFT_LEFT].flat(),
  [get(TOTAL), constant(8), SHIFT_RIGHT, OR].flat(),
  END,
].flat();

const COPY = [get(0), get(1), get(2), COPY_MEMORY, END].flat();

interface Exports {
  sum(at: number, end: number): number;
  copy(to: number, from: number, size: number): void;
}

const exported = instantiate(poolViews().memory, [
  {
    name: "sum",
    parameters: [I32, I32],
    results: [I32],
    locals: [
      [1, I32],
      [2, V128],
    ],
    code: SUM,
  },
  { name: "copy", parameters: [I32, I32, I32], results: [], locals: [], code: COPY },
]) as unknown as Exports;

const { words } = poolViews();
const LINE_WORDS = 16; // of a cache line
/** Where the sums go: reads whose result nobody keeps are left out by the compiler. */
const sink = new Int32Array(1);

/**
 * Fetches `size` bytes of the pool into this processor's cache, for a copy that comes soon: reads
 * that wait for nothing overlap, where the kernel's copy waits for one line after the other.
 */
export function warm(at: number, size: number): void {
  sink[0] = readLines(at >> 2, (at + size) >> 2);
}

/**
 * Fetches what another processor has just written of packets: metadata, headroom and the headers
 * of each of `slots[0..count)`.
 */
export function warmSlots(slots: Int32Array, count: number): void {
  sink[0] = readHeads(slots, count);
}

function readHeads(slots: Int32Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const at = slots[i]! << (SLOT_SHIFT - 2);
    sum ^= words[at]! ^ words[at + LINE_WORDS]! ^ words[at + 3 * LINE_WORDS]!;
    sum ^= words[at + 4 * LINE_WORDS]!;
  }
  return sum;
}

/** A loop of its own, with its sum in a register: it is as fast as the memory only so. */
function readLines(from: number, end: number): number {
  let sum = 0;
  for (let i = from; i < end; i += LINE_WORDS) sum ^= words[i]!;
  return sum;
}

/** The partial sum, at most 16 bits, of up to 64 KiB; an odd last byte counts as high byte. */
export const sum = exported.sum;
/** Copies `size` bytes of the pool; the places may overlap. */
export const copy = exported.copy;
