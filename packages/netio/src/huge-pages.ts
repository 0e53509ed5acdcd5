/**
 * Asks the kernel for huge pages: tables of many megabytes that are read at random wait as long for
 * the translation of their addresses as for the memory itself.
 */
import { addressOf, libc } from "./native.ts";

const MADV_HUGEPAGE = 14;
const HUGE_PAGE = 2n * 1024n * 1024n;

/**
 * For the whole huge pages inside of `buffer`, before it is first used. A wish: true when the
 * kernel grants it (transparent_hugepage is "always" or "madvise").
 */
export function wantHugePages(buffer: SharedArrayBuffer): boolean {
  const start = addressOf(buffer);
  const first = ((start + HUGE_PAGE - 1n) / HUGE_PAGE) * HUGE_PAGE;
  const end = ((start + BigInt(buffer.byteLength)) / HUGE_PAGE) * HUGE_PAGE;
  return end > first && libc.madvise(first, end - first, MADV_HUGEPAGE) === 0;
}
