/**
 * Neighbour discovery (RFC 4861 §4): solicitations and advertisements inside ICMPv6; `at` is the
 * ICMPv6 header.
 *
 *   neighbour messages    | ICMPv6 header (4) | flags or reserved (4) | target (16) | options |
 *   router solicitation   | ICMPv6 header (4) | reserved (4) | options |
 *   link-layer option     | type (1) | length in units of 8 bytes (1) | MAC address (6) |
 */
export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOR_SOLICITATION = 135;
export const NEIGHBOR_ADVERTISEMENT = 136;
export const OPTION_SOURCE_LINK_LAYER = 1;
export const OPTION_TARGET_LINK_LAYER = 2;

/** Byte offsets within a neighbour message. */
export const FLAGS = 4;
export const TARGET = 8;
export const OPTIONS = 24;

const OPTIONS_OF_ROUTER_SOLICITATION = 8;
const LINK_LAYER_OPTION_SIZE = 8;
const MALFORMED = -1;

/** For solicitations of both kinds and neighbour advertisements. */
export function isValid(view: DataView, at: number, end: number): boolean {
  return end - at >= optionsOffset(view, at);
}

/** Word `word` (0–3) of the target of a neighbour message. */
export function targetWord(view: DataView, at: number, word: number): number {
  return view.getInt32(at + TARGET + word * 4);
}

/** Byte offset of the first link-layer option of this type, 0 if there is none, -1 if malformed. */
export function findOption(view: DataView, at: number, end: number, type: number): number {
  let option = at + optionsOffset(view, at);
  while (option < end) {
    if (end - option < 2) return MALFORMED;
    const size = view.getUint8(option + 1) * 8;
    // Length 0 would never end (RFC 4861 §4.6: such a packet is discarded).
    if (size === 0 || size > end - option) return MALFORMED;
    if (view.getUint8(option) === type) return option;
    option += size;
  }
  return 0;
}

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

function optionsOffset(view: DataView, at: number): number {
  const isRouterSolicitation = view.getUint8(at) === ROUTER_SOLICITATION;
  return isRouterSolicitation ? OPTIONS_OF_ROUTER_SOLICITATION : OPTIONS;
}
