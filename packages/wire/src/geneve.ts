/**
 * Geneve (RFC 8926 §3.4, §3.5): an 8-byte base header, then 0–252 bytes of options.
 *
 *   |Ver|  Opt Len  |O|C|    Rsvd.  |          Protocol Type        |
 *   |        Virtual Network Identifier (VNI)       |    Reserved   |
 *   |          Option Class         |      Type     |R|R|R| Length  |   each option
 *
 * Call `isValid` once per packet: after it, no accessor can read past `end`.
 */
export const UDP_PORT = 6081; // RFC 8926 §3.3
export const BASE_SIZE = 8; // bytes
export const OPTION_HEADER_SIZE = 4; // bytes
export const PROTOCOL_ETHERNET = 0x6558; // §3.4, transparent bridging

const VERSION_AND_OPTIONS = 0;
const FLAGS = 1;
const PROTOCOL = 2;
const VNI_AND_RESERVED = 4;
const CONTROL_BIT = 0x80;
const CRITICAL_BIT = 0x40;
const OPTION_TYPE = 2;
const OPTION_LENGTH = 3;
const OPTION_CRITICAL = 0x80;
const MALFORMED = -1;

export function isValid(view: DataView, at: number, end: number): boolean {
  if (end - at < BASE_SIZE) return false;
  // An endpoint must drop versions that it does not know (§3.4).
  return version(view, at) === 0 && at + headerSize(view, at) <= end;
}

export function version(view: DataView, at: number): number {
  return view.getUint8(at + VERSION_AND_OPTIONS) >>> 6;
}

/** Bytes, base header and options together: 8–260. */
export function headerSize(view: DataView, at: number): number {
  return BASE_SIZE + (view.getUint8(at + VERSION_AND_OPTIONS) & 0x3f) * 4;
}

export function isControl(view: DataView, at: number): boolean {
  return (view.getUint8(at + FLAGS) & CONTROL_BIT) !== 0;
}

export function hasCriticalOptions(view: DataView, at: number): boolean {
  return (view.getUint8(at + FLAGS) & CRITICAL_BIT) !== 0;
}

export function protocol(view: DataView, at: number): number {
  return view.getUint16(at + PROTOCOL);
}

/** 0–16777215. */
export function vni(view: DataView, at: number): number {
  return view.getInt32(at + VNI_AND_RESERVED) >>> 8;
}

export function optionClass(view: DataView, option: number): number {
  return view.getUint16(option);
}

export function optionType(view: DataView, option: number): number {
  return view.getUint8(option + OPTION_TYPE);
}

/** Bytes, the option's own header included: 4–128. */
export function optionSize(view: DataView, option: number): number {
  return OPTION_HEADER_SIZE + (view.getUint8(option + OPTION_LENGTH) & 0x1f) * 4;
}

/**
 * Byte offset of the first option of this class and type; 0 if there is none; -1 when the options
 * do not add up to the header's length (§3.4: such a packet is dropped silently).
 */
export function findOption(view: DataView, at: number, optClass: number, type: number): number {
  const end = at + headerSize(view, at);
  let found = 0;
  let option = at + BASE_SIZE;
  while (option < end) {
    const size = optionSize(view, option);
    if (size > end - option) return MALFORMED;
    const isWanted = optionClass(view, option) === optClass && optionType(view, option) === type;
    if (isWanted && found === 0) found = option;
    option += size;
  }
  return found;
}

/** Whether an option is critical and not the one of this class and type; after `findOption`. */
export function hasUnknownCritical(
  view: DataView,
  at: number,
  optClass: number,
  type: number,
): boolean {
  const end = at + headerSize(view, at);
  for (let option = at + BASE_SIZE; option < end; option += optionSize(view, option)) {
    const isCritical = (optionType(view, option) & OPTION_CRITICAL) !== 0;
    const isKnown = optionClass(view, option) === optClass && optionType(view, option) === type;
    if (isCritical && !isKnown) return true;
  }
  return false;
}

/** Writes a base header; every reserved bit is sent as zero (§3.4). */
export function write(
  view: DataView,
  at: number,
  optionsSize: number,
  isCritical: boolean,
  vni: number,
  protocol: number,
): void {
  view.setUint8(at + VERSION_AND_OPTIONS, optionsSize / 4);
  view.setUint8(at + FLAGS, isCritical ? CRITICAL_BIT : 0);
  view.setUint16(at + PROTOCOL, protocol);
  view.setInt32(at + VNI_AND_RESERVED, vni << 8);
}

export function writeOptionHeader(
  view: DataView,
  option: number,
  optClass: number,
  type: number,
  dataSize: number,
): void {
  view.setUint16(option, optClass);
  view.setUint8(option + OPTION_TYPE, type);
  view.setUint8(option + OPTION_LENGTH, dataSize / 4);
}
