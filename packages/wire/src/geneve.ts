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
/** Bytes of options that one header can have. */
export const OPTIONS_SIZE_MAX = 252;
/** Bytes of data that one option can have. */
export const OPTION_DATA_SIZE_MAX = 124;

/** A header as plain data, for the control plane. */
export interface Header {
  readonly isControl: boolean;
  readonly hasCriticalOptions: boolean;
  readonly protocol: number;
  readonly vni: number;
  readonly options: readonly Option[];
}

export interface Option {
  readonly optionClass: number;
  readonly type: number;
  /** A copy; a multiple of 4 bytes. */
  readonly data: Uint8Array;
}

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

export function setFlags(
  view: DataView,
  at: number,
  isControl: boolean,
  hasCriticalOptions: boolean,
): void {
  const control = isControl ? CONTROL_BIT : 0;
  view.setUint8(at + FLAGS, control | (hasCriticalOptions ? CRITICAL_BIT : 0));
}

/**
 * Writes a base header for `optionsSize` bytes of options, with O clear; every reserved bit is sent
 * as zero (§3.4).
 */
export function write(
  view: DataView,
  at: number,
  optionsSize: number,
  hasCriticalOptions: boolean,
  vni: number,
  protocol: number,
): void {
  view.setUint8(at + VERSION_AND_OPTIONS, optionsSize / 4);
  setFlags(view, at, false, hasCriticalOptions);
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

/** The header at `at`; null when it, or an option, is cut off or of an unknown version. */
export function decode(view: DataView, at: number, end: number): Header | null {
  if (!isValid(view, at, end)) return null;
  const optionsEnd = at + headerSize(view, at);
  const options: Option[] = [];
  for (let option = at + BASE_SIZE; option < optionsEnd; option += optionSize(view, option)) {
    const size = optionSize(view, option);
    if (size > optionsEnd - option) return null;
    options.push(decodeOption(view, option));
  }
  return {
    isControl: isControl(view, at),
    hasCriticalOptions: hasCriticalOptions(view, at),
    protocol: protocol(view, at),
    vni: vni(view, at),
    options,
  };
}

/** The bytes of a header; throws a RangeError when a field does not fit. */
export function encode(header: Header): Uint8Array {
  const sizes = header.options.map((option) => OPTION_HEADER_SIZE + option.data.length);
  const optionsSize = sizes.reduce((total, size) => total + size, 0);
  assertFits("vni", header.vni, 0xffffff);
  assertFits("size of all options", optionsSize, OPTIONS_SIZE_MAX);
  const bytes = new Uint8Array(BASE_SIZE + optionsSize);
  const view = new DataView(bytes.buffer);
  write(view, 0, optionsSize, header.hasCriticalOptions, header.vni, header.protocol);
  setFlags(view, 0, header.isControl, header.hasCriticalOptions);
  let at = BASE_SIZE;
  for (const { optionClass, type, data } of header.options) {
    assertFits("size of an option's data", data.length, OPTION_DATA_SIZE_MAX);
    if (data.length % 4 !== 0) {
      throw new RangeError(
        `size of an option's data: expected a multiple of 4, got ${data.length}`,
      );
    }
    writeOptionHeader(view, at, optionClass, type, data.length);
    bytes.set(data, at + OPTION_HEADER_SIZE);
    at += OPTION_HEADER_SIZE + data.length;
  }
  return bytes;
}

function decodeOption(view: DataView, option: number): Option {
  const data = new Uint8Array(optionSize(view, option) - OPTION_HEADER_SIZE);
  for (let i = 0; i < data.length; i++) data[i] = view.getUint8(option + OPTION_HEADER_SIZE + i);
  return { optionClass: optionClass(view, option), type: optionType(view, option), data };
}

function assertFits(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= max) return;
  throw new RangeError(`${name}: expected 0 to ${max}, got ${value}`);
}
