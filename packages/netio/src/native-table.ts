/**
 * The C functions that we call, and what a runtime must offer to call them.
 *
 * `pointer` stands for every 64-bit argument or result and is a bigint. Sizes of the C library that
 * are 64-bit but read as 32-bit by the kernel (`nfds_t`) are declared as such: a number is cheaper.
 */
export const LIBC_FUNCTIONS = {
  socket: { arguments: ["i32", "i32", "i32"], return: "i32" },
  bind: { arguments: ["i32", "pointer", "u32"], return: "i32" },
  setsockopt: { arguments: ["i32", "i32", "i32", "pointer", "u32"], return: "i32" },
  getsockopt: { arguments: ["i32", "i32", "i32", "pointer", "pointer"], return: "i32" },
  open: { arguments: ["pointer", "i32"], return: "i32" },
  close: { arguments: ["i32"], return: "i32" },
  readv: { arguments: ["i32", "pointer", "i32"], return: "i32" },
  writev: { arguments: ["i32", "pointer", "i32"], return: "i32" },
  poll: { arguments: ["pointer", "u32", "i32"], return: "i32" },
  sendmsg: { arguments: ["i32", "pointer", "i32"], return: "i32" },
  sendmmsg: { arguments: ["i32", "pointer", "u32", "i32"], return: "i32" },
  recvmmsg: { arguments: ["i32", "pointer", "u32", "i32", "pointer"], return: "i32" },
  eventfd: { arguments: ["u32", "i32"], return: "i32" },
  eventfd_read: { arguments: ["i32", "pointer"], return: "i32" },
  eventfd_write: { arguments: ["i32", "pointer"], return: "i32" },
  if_nametoindex: { arguments: ["pointer"], return: "u32" },
  mmap: { arguments: ["pointer", "pointer", "i32", "i32", "i32", "pointer"], return: "pointer" },
  madvise: { arguments: ["pointer", "pointer", "i32"], return: "i32" },
  munmap: { arguments: ["pointer", "pointer"], return: "i32" },
  syscall: { arguments: ["pointer", "pointer", "pointer", "pointer"], return: "i32" },
  __errno_location: { arguments: [], return: "pointer" },
} as const;

type Functions = typeof LIBC_FUNCTIONS;
type ValueOf<T> = T extends "pointer" ? bigint : number;
type ValuesOf<T extends readonly string[]> = { -readonly [K in keyof T]: ValueOf<T[K]> };

export type Libc = {
  readonly [F in keyof Functions]: (
    ...values: ValuesOf<Functions[F]["arguments"]>
  ) => ValueOf<Functions[F]["return"]>;
};

/** What `native-node.ts` and `native-deno.ts` each export. */
export interface Native {
  readonly libc: Libc;
  /**
   * Where a buffer's first byte lies. Whoever gives that to the kernel keeps the buffer referenced.
   */
  addressOf(buffer: ArrayBuffer | SharedArrayBuffer): bigint;
  /** The memory at an address, not a copy of it. */
  bufferAt(address: bigint, size: number): ArrayBuffer;
  /** The last thing that a thread does which has called C: lets it end without harm. */
  finishCompiling(): void;
}
