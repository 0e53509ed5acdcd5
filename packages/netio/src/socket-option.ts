/** Sockets with options, as ports set them up; a failure is a NativeError that says which. */
import { check, libc } from "./native.ts";
import { allocate } from "./native-memory.ts";

const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;

const scratch = allocate(8);
const { address } = scratch;
const sizeAddress = address + 4n;

export function openSocket(family: number, type: number, protocol: number, what: string): number {
  return check(libc.socket(family, type | SOCK_CLOEXEC, protocol), `socket for ${what}`);
}

export function setOption(
  descriptor: number,
  level: number,
  option: number,
  value: number,
  what: string,
): void {
  scratch.words[0] = value;
  check(libc.setsockopt(descriptor, level, option, address, 4), `set ${what}`);
}

/** Bytes that may wait in the socket, whatever the system's limit for users is. */
export function setBufferSizes(descriptor: number, sendSize: number, receiveSize: number): void {
  setOption(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, sendSize, "SO_SNDBUFFORCE");
  setOption(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, receiveSize, "SO_RCVBUFFORCE");
}

/** The errno that waits in a socket, 0 none; reading it clears it. */
export function pendingError(descriptor: number): number {
  scratch.words[1] = 4;
  check(libc.getsockopt(descriptor, SOL_SOCKET, SO_ERROR, address, sizeAddress), "get SO_ERROR");
  return scratch.words[0]!;
}
