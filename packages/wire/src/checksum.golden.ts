/** The Internet checksum as RFC 1071 §1 says it, for the tests: byte by byte, carries at once. */

/** The checksum over the bytes and, before them, a partial sum. */
export function checksumGolden(bytes: Uint8Array, initial: number): number {
  let total = initial;
  for (let i = 0; i < bytes.length; i += 2) {
    total += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
    while (total > 0xffff) total = Math.floor(total / 0x10000) + (total % 0x10000);
  }
  while (total > 0xffff) total = Math.floor(total / 0x10000) + (total % 0x10000);
  return 0xffff - total;
}
