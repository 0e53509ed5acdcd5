/** Where the packet pool lies in memory, for those who give the kernel buffers in it. */
import { poolViews } from "@rhone/rings/pool";
import { addressOf } from "./native.ts";

export const poolAddress = addressOf(poolViews().buffer);
const low = Number(BigInt.asIntN(32, poolAddress));
const high = Number(BigInt.asIntN(32, poolAddress >> 32n));
const SIGN = 0x80000000 | 0;

/** Writes the address of byte `offset` of the pool to two words, without making a bigint. */
export function putPoolAddress(words: Int32Array, index: number, offset: number): void {
  const sum = (low + offset) | 0;
  // An unsigned sum that is less than its part has overflowed into the high word.
  const carry = (sum ^ SIGN) < (low ^ SIGN) ? 1 : 0;
  words[index] = sum;
  words[index + 1] = high + carry;
}
