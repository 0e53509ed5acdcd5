/** Addresses of the desired state as words. Part of `compile`, and pure like it. */
import { type Address, parseAddress } from "@rhone/wire/address";

/** The state is validated before it is stored: a text that does not parse is a bug. */
export function addressOf(text: string): Address {
  const words = parseAddress(text);
  if (words === null) throw new Error(`expected a validated IP address, got "${text}"`);
  return words;
}
