/** Calls into the C library by Node's built-in `node:ffi`. */
import { dlopen, getRawPointer, toArrayBuffer } from "node:ffi";
import { LIBC_FUNCTIONS, type Libc } from "./native-table.ts";

// The process itself is linked to the C library. The handle lives as long as the process.
export const libc: Libc = dlopen(null, LIBC_FUNCTIONS).functions;

export function addressOf(buffer: ArrayBuffer | SharedArrayBuffer): bigint {
  return getRawPointer(buffer as ArrayBuffer);
}

export function bufferAt(address: bigint, size: number): ArrayBuffer {
  return toArrayBuffer(address, size, false);
}
