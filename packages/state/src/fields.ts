/**
 * Fields that documents of several kinds have: how a text is checked, and its one canonical form.
 * Run by the control thread.
 */
import {
  formatAddress,
  formatMac,
  formatPrefix,
  parseAddress,
  parseMac,
  parsePrefix,
} from "@rhone/wire/address";
import { z } from "zod";

export const NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const TEXT_LENGTH_MAX = 1024; // UTF-16 units

export const name = text("a name of 1 to 63 of a-z, 0-9 and -, not - at an end", NAME_PATTERN);
export const mac = text("a unicast MAC address such as 02:00:00:00:00:01", isUnicastMac);
export const address = text(
  "an IP address such as 10.0.1.10 or fd00:1::10",
  (address) => parseAddress(address) !== null,
);
export const interfaceAddress = text(
  "an IP address with its prefix length such as 10.0.1.1/24",
  (prefix) => parsePrefix(prefix) !== null,
);
export const prefix = text(
  "a network such as 10.0.1.0/24",
  (prefix) => parsePrefix(prefix) !== null,
);
export const device = text("a network device's name, 1 to 15 characters", isDeviceName);
export const remark = z.string().max(TEXT_LENGTH_MAX);

/** A string that passes `check`, with the sentence that a user reads when it does not. */
export function text(expected: string, check: RegExp | ((text: string) => boolean)): z.ZodString {
  if (check instanceof RegExp)
    return z.string().regex(check, { error: expected }).describe(expected);
  return z.string().refine(check, { params: { expected } }).describe(expected);
}

/** The fields that have a value. */
export function optional<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as { [K in keyof T]?: NonNullable<T[K]> };
}

// Of texts that passed their checks.
export function canonicalAddress(text: string): string {
  return formatAddress(parseAddress(text)!);
}

export function canonicalMac(text: string): string {
  return formatMac(parseMac(text)!);
}

export function canonicalPrefix(text: string): string {
  return formatPrefix(parsePrefix(text)!);
}

function isUnicastMac(text: string): boolean {
  const parsed = parseMac(text);
  if (parsed === null) return false;
  const isGroup = ((parsed.high >>> 24) & 1) === 1;
  return !isGroup && (parsed.high !== 0 || parsed.low !== 0);
}

/** What the kernel takes, dev_valid_name in net/core/dev.c, and does not take for a pattern: %. */
function isDeviceName(text: string): boolean {
  return /^[!-$&-.0-9;-~]{1,15}$/.test(text) && text !== "." && text !== "..";
}
