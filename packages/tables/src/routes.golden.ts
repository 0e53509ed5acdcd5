/**
 * The plain twin of `Routes`: every route in turn, bit by bit. For tests; what it says is right.
 */
import type { AddressWords } from "./ports.ts";
import type { Route } from "./routes.ts";

const IPV4_BITS = "0".repeat(80) + "1".repeat(16);

/** The first of the longest routes that cover the address; undefined when none does. */
export function findRoute(routes: readonly Route[], address: AddressWords): Route | undefined {
  const isIpv4 = bitsOf(address).startsWith(IPV4_BITS);
  const covering = routes.filter(({ prefix, length }) => {
    const bits = bitsOf(prefix).slice(0, length);
    return bits.startsWith(IPV4_BITS) === isIpv4 && bitsOf(address).startsWith(bits);
  });
  const longest = Math.max(...covering.map(({ length }) => length));
  return covering.find(({ length }) => length === longest);
}

function bitsOf(words: AddressWords): string {
  return words.map((word) => (word >>> 0).toString(2).padStart(32, "0")).join("");
}
