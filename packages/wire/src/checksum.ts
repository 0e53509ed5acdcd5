/**
 * The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
 *
 * A partial sum is a number of at most 17 bits, ready to be added to and to be folded at the end.
 */

/**
 * Adds the 16-bit words of `[at, end)` to `initial`, itself a partial sum or a few words added up;
 * an odd last byte counts as high byte. Right for up to 64 KiB at once: the total, taken as
 * unsigned, cannot pass 2³², so that the carries need to be added only once, at the end.
 */
export function sum(view: DataView, at: number, end: number, initial: number): number {
  let total = initial | 0;
  let i = at;
  for (; i + 4 <= end; i += 4) {
    const word = view.getInt32(i);
    total = (total + (word >>> 16) + (word & 0xffff)) | 0;
  }
  for (; i + 2 <= end; i += 2) total = (total + view.getUint16(i)) | 0;
  if (i < end) total = (total + (view.getUint8(i) << 8)) | 0;
  return (total & 0xffff) + (total >>> 16);
}

/** The 16-bit checksum of a partial sum: its ones' complement. */
export function fold(partial: number): number {
  let folded = (partial & 0xffff) + (partial >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}

/** Partial sum of the IPv4 pseudo header (RFC 9293 §3.1) of the header at `at`. */
export function pseudoHeader4(view: DataView, at: number, protocol: number, size: number): number {
  return sum(view, at + 12, at + 20, protocol + size);
}

/** Partial sum of the IPv6 pseudo header (RFC 8200 §8.1) of the header at `at`. */
export function pseudoHeader6(view: DataView, at: number, protocol: number, size: number): number {
  return sum(view, at + 8, at + 40, protocol + (size >>> 16) + (size & 0xffff));
}

/** The checksum after one 16-bit word of the data changed (RFC 1624, equation 3). */
export function update16(checksum: number, oldWord: number, newWord: number): number {
  return fold((~checksum & 0xffff) + (~oldWord & 0xffff) + newWord);
}
