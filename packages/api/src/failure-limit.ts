/**
 * How often one source may show wrong tokens: a bucket of failures each that refills with time. Run
 * by the control thread.
 */
import { isIPv6 } from "node:net";

export const FAILURES_MAX = 10;
export const REFILL_MS = 6000;
/** Sources remembered; beyond, who failed longest ago is forgotten. */
export const SOURCES_MAX = 4096;

interface Bucket {
  /** Failures that it still has. */
  left: number;
  atMs: number;
}

export class FailureLimit {
  readonly #buckets = new Map<string, Bucket>();

  get size(): number {
    return this.#buckets.size;
  }

  /**
   * Takes a failure of `address` at a time of a clock that never steps. Returns 0, or how long the
   * source has to wait because it had too many, milliseconds.
   */
  fail(address: string, nowMs: number): number {
    const source = sourceOf(address);
    const known = this.#buckets.get(source) ?? { left: FAILURES_MAX, atMs: nowMs };
    const refilled = known.left + (nowMs - known.atMs) / REFILL_MS;
    const left = Math.min(FAILURES_MAX, refilled);
    const isTooMany = left < 1;
    this.#buckets.delete(source); // So that the map is in the order of the last failures.
    this.#buckets.set(source, { left: isTooMany ? left : left - 1, atMs: nowMs });
    if (this.#buckets.size > SOURCES_MAX) {
      const [oldest] = this.#buckets.keys();
      this.#buckets.delete(oldest!);
    }
    return isTooMany ? Math.ceil((1 - left) * REFILL_MS) : 0;
  }
}

/**
 * Whose the address is: an IPv4 address is one source, also when it is written as IPv6; of IPv6 a
 * whole /64 is, since a host has as many addresses of it as it likes (RFC 8981).
 */
export function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [bare] = address.split("%");
  if (!isIPv6(bare!)) return address;
  const [head, tail] = bare!.split("::").map((part) => part.split(":").filter(Boolean));
  const missing = tail === undefined ? 0 : 8 - head!.length - tail.length;
  const groups = [...head!, ...Array<string>(missing).fill("0"), ...(tail ?? [])];
  const network = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(":")}::/64`;
}
