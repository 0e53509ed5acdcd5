/**
 * SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) over bytes of the
 * packet pool, in WebAssembly because its words have 64 bits. The plain twin is siphash.golden.ts.
 *
 * It is shaped for the stamp: bytes 32 to 39 of what is hashed are the tag and count as zero.
 */
import { poolViews } from "@rhone/rings/pool";
import { I32, I64, instantiate, leb128 } from "@rhone/rings/wasm";

/** Where the tag stands in what is hashed. */
export const TAG_OFFSET = 32; // bytes

// The function's parameters and other variables.
const AT = 0;
const SIZE = 1;
const KEY = 2; // Four words of 32 bits, the least significant first.
const V = 6; // v0 to v3
const WORD = 10;
const FULL_END = 11; // Behind the last whole word.

const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const constant = (value: number): number[] => [0x41, ...leb128(value)];
const constant64 = (value: bigint): number[] => [0x42, ...signedLeb128(value)];
const BLOCK = [0x02, 0x40];
const LOOP = [0x03, 0x40];
const IF = [0x04, 0x40];
const ELSE = [0x05];
const END = [0x0b];
const BRANCH_TO_LOOP = [0x0c, 0];
const LEAVE_LOOP_IF = [0x0d, 1];
const call = (index: number): number[] => [0x10, index];
const EQUAL = [0x46];
const NOT_LESS = [0x4e]; // i32.ge_s
const ADD = [0x6a];
const AND = [0x71];
const SHIFT_LEFT = [0x74];
const load64 = (offset: number): number[] => [0x29, 0, offset];
const store64 = (offset: number): number[] => [0x37, 0, offset];
const EQUAL_64 = [0x51];
const ADD_64 = [0x7c];
const SUBTRACT_64 = [0x7d];
const AND_64 = [0x83];
const OR_64 = [0x84];
const XOR_64 = [0x85];
const SHIFT_LEFT_64 = [0x86];
const ROTATE_64 = [0x89];
const EXTEND = [0xad]; // i64.extend_i32_u

const mixInto = (target: number, source: number, operation: readonly number[]): number[] =>
  [get(V + target), get(V + source), operation, set(V + target)].flat();
const rotate = (target: number, bits: number): number[] =>
  [get(V + target), constant64(BigInt(bits)), ROTATE_64, set(V + target)].flat();

/** One SipRound, figure 2.1. */
const ROUND = [
  ...[mixInto(0, 1, ADD_64), rotate(1, 13), mixInto(1, 0, XOR_64), rotate(0, 32)],
  ...[mixInto(2, 3, ADD_64), rotate(3, 16), mixInto(3, 2, XOR_64)],
  ...[mixInto(0, 3, ADD_64), rotate(3, 21), mixInto(3, 0, XOR_64)],
  ...[mixInto(2, 1, ADD_64), rotate(1, 17), mixInto(1, 2, XOR_64), rotate(2, 32)],
].flat();
const compress = [
  ...[get(V + 3), get(WORD), XOR_64, set(V + 3), ROUND, ROUND],
  ...[get(V), get(WORD), XOR_64, set(V)],
].flat();

const keyWord = (word: number): number[] => [
  ...[...get(KEY + word * 2), ...EXTEND, ...get(KEY + word * 2 + 1), ...EXTEND],
  ...[...constant64(32n), ...SHIFT_LEFT_64, ...OR_64],
];
/** The initial words are the text "somepseudorandomlygeneratedbytes". */
const start = (v: number, key: number, initial: bigint): number[] => [
  ...[...keyWord(key), ...constant64(initial), ...XOR_64, ...set(V + v)],
];

/** The bytes behind the last whole word, and the size in the most significant byte (§2.2). */
const LAST_WORD = [
  ...[get(FULL_END), load64(0)],
  ...[constant64(1n), get(SIZE), constant(7), AND, constant(3), SHIFT_LEFT, EXTEND],
  ...[SHIFT_LEFT_64, constant64(1n), SUBTRACT_64, AND_64],
  ...[get(SIZE), EXTEND, constant64(56n), SHIFT_LEFT_64, OR_64, set(WORD)],
].flat();

const TAG_AT = 12; // A variable: the address of the tag.
const HASH = [
  start(0, 0, 0x736f6d6570736575n),
  start(1, 1, 0x646f72616e646f6dn),
  start(2, 0, 0x6c7967656e657261n),
  start(3, 1, 0x7465646279746573n),
  [get(AT), get(SIZE), constant(0xfff8), AND, ADD, set(FULL_END)].flat(),
  [get(AT), constant(TAG_OFFSET), ADD, set(TAG_AT)].flat(),
  [BLOCK, LOOP, get(AT), get(FULL_END), NOT_LESS, LEAVE_LOOP_IF].flat(),
  [get(AT), get(TAG_AT), EQUAL, IF, constant64(0n), set(WORD), ELSE].flat(),
  [get(AT), load64(0), set(WORD), END, compress].flat(),
  [get(AT), constant(8), ADD, set(AT), BRANCH_TO_LOOP, END, END].flat(),
  LAST_WORD,
  compress,
  [get(V + 2), constant64(0xffn), XOR_64, set(V + 2), ROUND, ROUND, ROUND, ROUND].flat(),
  [get(V), get(V + 1), XOR_64, get(V + 2), XOR_64, get(V + 3), XOR_64, END].flat(),
].flat();

const HASH_FUNCTION = 0;
const PARAMETERS = [I32, I32, I32, I32, I32, I32];
const callHash = [...PARAMETERS.flatMap((_, i) => get(i)), ...call(HASH_FUNCTION)];

interface Exports {
  write(at: number, size: number, k0: number, k1: number, k2: number, k3: number): void;
  check(at: number, size: number, k0: number, k1: number, k2: number, k3: number): number;
}

const exports = instantiate(poolViews().memory, [
  {
    parameters: PARAMETERS,
    results: [I64],
    locals: [
      [5, I64],
      [2, I32],
    ],
    code: HASH,
  },
  {
    name: "write",
    parameters: PARAMETERS,
    results: [],
    locals: [],
    code: [...get(AT), ...callHash, ...store64(TAG_OFFSET), ...END],
  },
  {
    name: "check",
    parameters: PARAMETERS,
    results: [I32],
    locals: [],
    code: [...callHash, ...get(AT), ...load64(TAG_OFFSET), ...EQUAL_64, ...END],
  },
]);

/**
 * `write` puts the tag of the `size` bytes (40 to 65,535) from `at` of the pool into their bytes 32
 * to 39; `check` says 1 when it stands there already. The key is four 32-bit words, the least
 * significant first.
 */
export const { write, check } = exports as unknown as Exports;

function signedLeb128(value: bigint): number[] {
  const bytes: number[] = [];
  for (let rest = BigInt.asIntN(64, value); ; ) {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    const isLast = (rest === 0n && low < 0x40) || (rest === -1n && low >= 0x40);
    bytes.push(isLast ? low : low | 0x80);
    if (isLast) return bytes;
  }
}
