/**
 * How to reach the other tunnel endpoints on the wire: for each address the Ethernet header that
 * its datagrams leave with. The control thread makes an image from the kernel's routes and
 * neighbours and gives it to the workers; it never changes, but for the marks that workers leave.
 *
 * A table with open addressing; a row is 16 words, and their number a power of two, at least twice
 * that of the paths.
 *
 *   word  name      meaning                                               writer
 *   0–3   address   of the endpoint, IPv4 as ::ffff:a.b.c.d; word 0 of    control thread
 *                   a free row is FREE, which begins no unicast address
 *    4    mtu       bytes of an outer IP packet that the path carries     control thread
 *    5    isUsed    1 once a datagram was sent by it                      any worker
 *   6–9   header    14 bytes as they go on the wire                       control thread
 */
import type { Address } from "@rhone/wire/address";

/** Endpoints that have a row; to others packets go by the kernel. */
export const PATHS_MAX = 4096;

export interface TunnelPath {
  readonly address: Address;
  readonly mtu: number;
  /** Ethernet: destination, source, EtherType. */
  readonly header: Uint8Array;
}

const ROW_WORDS = 16;
const MTU = 4;
const IS_USED = 5;
const HEADER = 6;
const HEADER_SIZE = 14;
const FREE = -1; // ffff:ffff:: is multicast.
const NO_PATH = -1;

/** An image with these paths; those above PATHS_MAX are left out. */
export function writePaths(paths: readonly TunnelPath[]): SharedArrayBuffer {
  const taken = paths.slice(0, PATHS_MAX);
  const rows = 2 ** Math.ceil(Math.log2(Math.max(1, taken.length) * 2));
  const words = new Int32Array(new SharedArrayBuffer(rows * ROW_WORDS * 4));
  for (let row = 0; row < rows; row++) words[row * ROW_WORDS] = FREE;
  const bytes = new Uint8Array(words.buffer);
  for (const { address, mtu, header } of taken) {
    let row = hash(address, 0) & (rows - 1);
    while (words[row * ROW_WORDS] !== FREE) row = (row + 1) & (rows - 1);
    words.set(address, row * ROW_WORDS);
    words[row * ROW_WORDS + MTU] = mtu;
    bytes.set(header.subarray(0, HEADER_SIZE), (row * ROW_WORDS + HEADER) * 4);
  }
  return words.buffer as SharedArrayBuffer;
}

export class TunnelPaths {
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #mask: number;

  constructor(image: SharedArrayBuffer) {
    this.#words = new Int32Array(image);
    this.#view = new DataView(image);
    this.#mask = this.#words.length / ROW_WORDS - 1;
  }

  /** The row of the address at `address[at]`, four words; NO_PATH (-1) when there is none. */
  find(address: Int32Array, at: number): number {
    const words = this.#words;
    for (let row = hash(address, at) & this.#mask; ; row = (row + 1) & this.#mask) {
      const base = row * ROW_WORDS;
      if (words[base] === FREE) return NO_PATH;
      if (
        words[base] === address[at] &&
        words[base + 1] === address[at + 1] &&
        words[base + 2] === address[at + 2] &&
        words[base + 3] === address[at + 3]
      ) {
        return row;
      }
    }
  }

  mtu(row: number): number {
    return this.#words[row * ROW_WORDS + MTU]!;
  }

  /** Marks the path as used, and writes its header of 14 bytes. */
  writeHeader(row: number, target: DataView, at: number): void {
    const base = row * ROW_WORDS;
    const from = (base + HEADER) * 4;
    // Stored once, not with every packet: the other workers read the same cache line.
    if (this.#words[base + IS_USED] !== 1) this.#words[base + IS_USED] = 1;
    target.setInt32(at, this.#view.getInt32(from));
    target.setInt32(at + 4, this.#view.getInt32(from + 4));
    target.setInt32(at + 8, this.#view.getInt32(from + 8));
    target.setUint16(at + 12, this.#view.getUint16(from + 12));
  }

  /** Whether the path was used since the last time; for the control thread. */
  takeUsed(row: number): boolean {
    const isUsed = this.#words[row * ROW_WORDS + IS_USED] === 1;
    this.#words[row * ROW_WORDS + IS_USED] = 0;
    return isUsed;
  }
}

function hash(address: ArrayLike<number>, at: number): number {
  const mixed = address[at]! ^ address[at + 1]! ^ address[at + 2]! ^ address[at + 3]!;
  const spread = Math.imul(mixed, 0x9e3779b1);
  return spread ^ (spread >>> 16);
}
