/**
 * UDP header (RFC 768): 8 bytes.
 *
 *   | source port (2) | destination port (2) | length (2) | checksum (2) |
 */
export const HEADER_SIZE = 8; // bytes

const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const LENGTH = 4;
const CHECKSUM = 6;

/** The length is not held against `end`: in a first fragment it is larger than what is here. */
export function isValid(view: DataView, at: number, end: number): boolean {
  return end - at >= HEADER_SIZE && length(view, at) >= HEADER_SIZE;
}

export function sourcePort(view: DataView, at: number): number {
  return view.getUint16(at + SOURCE_PORT);
}

export function destinationPort(view: DataView, at: number): number {
  return view.getUint16(at + DESTINATION_PORT);
}

/** Bytes of header and payload. */
export function length(view: DataView, at: number): number {
  return view.getUint16(at + LENGTH);
}

export function checksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM);
}

export function setLength(view: DataView, at: number, value: number): void {
  view.setUint16(at + LENGTH, value);
}

/** 0 means that there is none: a computed 0 is sent as 0xffff. */
export function setChecksum(view: DataView, at: number, value: number): void {
  view.setUint16(at + CHECKSUM, value);
}

/** Writes a header with checksum 0. */
export function write(
  view: DataView,
  at: number,
  sourcePort: number,
  destinationPort: number,
  length: number,
): void {
  view.setUint16(at + SOURCE_PORT, sourcePort);
  view.setUint16(at + DESTINATION_PORT, destinationPort);
  view.setUint16(at + LENGTH, length);
  view.setUint16(at + CHECKSUM, 0);
}
