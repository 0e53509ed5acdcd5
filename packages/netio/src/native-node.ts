/** Calls into the C library by Node's built-in `node:ffi`. */
import { dlopen, getRawPointer, toArrayBuffer } from "node:ffi";
import { setFlagsFromString } from "node:v8";
import { LIBC_FUNCTIONS, type Libc } from "./native-table.ts";

// The process itself is linked to the C library. The handle lives as long as the process.
export const libc: Libc = dlopen(null, LIBC_FUNCTIONS).functions;

export function addressOf(buffer: ArrayBuffer | SharedArrayBuffer): bigint {
  return getRawPointer(buffer as ArrayBuffer);
}

export function bufferAt(address: bigint, size: number): ArrayBuffer {
  return toArrayBuffer(address, size, false);
}

/**
 * Node frees what describes a function to V8's optimizing compiler when its thread ends, and does
 * not wait for a compilation that still reads it: the whole process ends by a failed check (Node
 * 26.10, seen as SIGTRAP). So a thread waits before it ends, by a function that V8 has for its own
 * tests. The other way, no direct calls from optimized code (`--no-turbo-fast-api-calls`), makes
 * every call allocate. The flag that allows it is one of the whole process and stays: another
 * thread may end at the same time, and would find it taken back.
 */
export function finishCompiling(): void {
  setFlagsFromString("--allow-natives-syntax");
  new Function("%WaitForBackgroundOptimization()")();
}
