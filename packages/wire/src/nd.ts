/**
 * Neighbour discovery (RFC 4861 §4): five messages inside ICMPv6; `at` is the ICMPv6 header.
 *
 *   router solicitation     | ICMPv6 (4) | reserved (4) | options
 *   router advertisement    | ICMPv6 (4) | hop limit, flags, lifetime (4) | timers (8) | options
 *   neighbour solicitation  | ICMPv6 (4) | reserved (4) | target (16) | options
 *   neighbour advertisement | ICMPv6 (4) | R S O, reserved (4) | target (16) | options
 *   redirect                | ICMPv6 (4) | reserved (4) | target (16) | destination (16) | options
 *
 *   option                  | type (1) | length in units of 8 bytes (1) | data |
 *   link-layer option       | 1 or 2   | 1                              | MAC address (6) |
 */
import * as icmpv6 from "./icmpv6.ts";
import * as ipv4 from "./ipv4.ts";
import * as ipv6 from "./ipv6.ts";

export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOR_SOLICITATION = 135;
export const NEIGHBOR_ADVERTISEMENT = 136;
export const REDIRECT = 137;
export const OPTION_SOURCE_LINK_LAYER = 1;
export const OPTION_TARGET_LINK_LAYER = 2;
/** Anything less came through a router (§6.1, §7.1). */
export const HOP_LIMIT = 255;
/** Bytes of an advertisement with the link-layer option. */
export const ADVERTISEMENT_SIZE = 32;

/** Byte offsets within a neighbour message. */
const FLAGS = 4;
const TARGET = 8;
const OPTIONS = 24;

const SIZE_MIN = 8; // bytes, a router solicitation without options
const LINK_LAYER_OPTION_SIZE = 8; // bytes
const FLAG_ROUTER = 0x80000000 | 0;
const FLAG_SOLICITED = 0x40000000;
const FLAG_OVERRIDE = 0x20000000;
const MALFORMED = -1;

/**
 * Whether it is one of the five messages, whole up to its options and with a target
 * that is one; `findOption` checks the options.
 */
export function isValid(view: DataView, at: number, end: number): boolean {
  if (end - at < SIZE_MIN) return false;
  const offset = optionsOffset(view, at);
  if (offset === 0 || end - at < offset) return false;
  return offset < OPTIONS || !ipv6.isMappedIpv4(view, at + TARGET);
}

/** Whether an advertisement answers a solicitation (§4.4, the S bit). */
export function isSolicited(view: DataView, at: number): boolean {
  return (view.getInt32(at + FLAGS) & FLAG_SOLICITED) !== 0;
}

/** Word `word` (0–3) of the target of a neighbour message or a redirect. */
export function targetWord(view: DataView, at: number, word: number): number {
  return view.getInt32(at + TARGET + word * 4);
}

/**
 * Byte offset of the first option of this type; 0 if there is none; -1 when any option is cut off
 * or of length 0, for which the whole packet is discarded (§4.6).
 */
export function findOption(view: DataView, at: number, end: number, type: number): number {
  let found = 0;
  let option = at + optionsOffset(view, at);
  while (option < end) {
    if (end - option < 2) return MALFORMED;
    const size = view.getUint8(option + 1) * 8;
    if (size === 0 || size > end - option) return MALFORMED;
    if (found === 0 && view.getUint8(option) === type) found = option;
    option += size;
  }
  return found;
}

/** For an option of one of the two link-layer types. */
export function optionMacHigh(view: DataView, option: number): number {
  return view.getInt32(option + 2);
}

export function optionMacLow(view: DataView, option: number): number {
  return view.getUint16(option + 6);
}

export function writeLinkLayerOption(
  view: DataView,
  at: number,
  type: number,
  macHigh: number,
  macLow: number,
): void {
  view.setUint8(at, type);
  view.setUint8(at + 1, LINK_LAYER_OPTION_SIZE / 8);
  view.setInt32(at + 2, macHigh);
  view.setUint16(at + 6, macLow);
}

/**
 * Writes the answer to a solicitation: its source address is at this MAC address. The addresses in
 * the IPv6 header at `ipAt` must stand already; the rest of it, and the `ADVERTISEMENT_SIZE` bytes
 * behind it, are written here: solicited, override, target link-layer address, checksum.
 */
export function writeAdvertisement(
  view: DataView,
  ipAt: number,
  macHigh: number,
  macLow: number,
  isRouter: boolean,
): void {
  writeAnswer(view, ipAt, macHigh, macLow, FLAG_SOLICITED | (isRouter ? FLAG_ROUTER : 0));
}

/** The same unasked, of a router: whoever has another MAC address for it replaces that (§7.2.6). */
export function writeUnsolicited(
  view: DataView,
  ipAt: number,
  macHigh: number,
  macLow: number,
): void {
  writeAnswer(view, ipAt, macHigh, macLow, FLAG_ROUTER);
}

function writeAnswer(
  view: DataView,
  ipAt: number,
  macHigh: number,
  macLow: number,
  flags: number,
): void {
  const at = ipAt + ipv6.HEADER_SIZE;
  ipv6.write(view, ipAt, ADVERTISEMENT_SIZE, ipv4.PROTOCOL_ICMPV6, HOP_LIMIT);
  icmpv6.write(view, at, NEIGHBOR_ADVERTISEMENT, 0);
  view.setInt32(at + FLAGS, FLAG_OVERRIDE | flags);
  for (let i = 0; i < 4; i++) {
    view.setInt32(at + TARGET + i * 4, ipv6.sourceWord(view, ipAt, i));
  }
  writeLinkLayerOption(view, at + OPTIONS, OPTION_TARGET_LINK_LAYER, macHigh, macLow);
  icmpv6.updateChecksum(view, ipAt, at, at + ADVERTISEMENT_SIZE);
}

/** Bytes in front of the options; 0 for a type that is not neighbour discovery. */
function optionsOffset(view: DataView, at: number): number {
  switch (view.getUint8(at)) {
    case ROUTER_SOLICITATION:
      return 8;
    case ROUTER_ADVERTISEMENT:
      return 16;
    case NEIGHBOR_SOLICITATION:
    case NEIGHBOR_ADVERTISEMENT:
      return OPTIONS;
    case REDIRECT:
      return 40;
    default:
      return 0;
  }
}
