/**
 * The way to the C library, the same for both runtimes. Nothing outside this package calls it.
 *
 * Hot modules copy the functions that they call into private constants.
 */
import { getSystemErrorMap } from "node:util";
import type { Native } from "./native-table.ts";

const native: Native = await ("Deno" in globalThis
  ? import("./native-deno.ts")
  : import("./native-node.ts"));

export const { libc, addressOf, bufferAt, finishCompiling } = native;

// A thread's errno never moves, and a module is loaded once a thread.
const errnoWord = new Int32Array(bufferAt(libc.__errno_location(), 4));

export const EAGAIN = 11;
export const EINVAL = 22;
export const EBUSY = 16;
export const ENODEV = 19;
export const EIO = 5;
export const ENXIO = 6;
export const EMSGSIZE = 90;
export const ENETDOWN = 100;
export const EBADFD = 77;
export const ENOBUFS = 105;

/** Why the call that has just returned -1 failed. Read it before anything else is called. */
export function errno(): number {
  return errnoWord[0]!;
}

/** Whether a port's device is gone or was switched off. */
export function meansDeviceDown(number: number): boolean {
  return number === ENETDOWN || number === ENXIO || number === ENODEV || number === EBADFD;
}

/** A call into the kernel that failed while something was set up. */
export class NativeError extends Error {
  readonly errno: number;

  constructor(what: string, number: number) {
    const [name, text] = getSystemErrorMap().get(-number) ?? ["errno", "unknown error"];
    super(`${what}: ${name} (${number}), ${text}`);
    this.errno = number;
  }
}

/** Passes a result on, or throws NativeError when it is -1. */
export function check(result: number, what: string): number {
  if (result === -1) throw new NativeError(what, errno());
  return result;
}
