/**
 * TCP header (RFC 9293 §3.1): 20–60 bytes.
 *
 *   |          Source Port          |       Destination Port        |
 *   |                        Sequence Number                        |
 *   |                    Acknowledgment Number                      |
 *   | Offset| Rsrvd |CEUAPRSF|            Window                    |
 *   |           Checksum            |         Urgent Pointer        |
 *   |                           Options                             |
 */
export const HEADER_SIZE = 20; // bytes, without options
export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const ECE = 0x40;
export const CWR = 0x80;

const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const SEQUENCE = 4;
const ACKNOWLEDGMENT = 8;
const DATA_OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
const CHECKSUM = 16;

export function isValid(view: DataView, at: number, end: number): boolean {
  if (end - at < HEADER_SIZE) return false;
  const size = headerSize(view, at);
  return size >= HEADER_SIZE && size <= end - at;
}

export function sourcePort(view: DataView, at: number): number {
  return view.getUint16(at + SOURCE_PORT);
}

export function destinationPort(view: DataView, at: number): number {
  return view.getUint16(at + DESTINATION_PORT);
}

/** As a signed 32-bit number: sequence arithmetic is modulo 2³². */
export function sequence(view: DataView, at: number): number {
  return view.getInt32(at + SEQUENCE);
}

export function acknowledgment(view: DataView, at: number): number {
  return view.getInt32(at + ACKNOWLEDGMENT);
}

/** Bytes, options included. */
export function headerSize(view: DataView, at: number): number {
  return (view.getUint8(at + DATA_OFFSET) >>> 4) * 4;
}

export function flags(view: DataView, at: number): number {
  return view.getUint8(at + FLAGS);
}

export function window(view: DataView, at: number): number {
  return view.getUint16(at + WINDOW);
}

export function checksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM);
}

export function setSequence(view: DataView, at: number, value: number): void {
  view.setInt32(at + SEQUENCE, value);
}

export function setFlags(view: DataView, at: number, value: number): void {
  view.setUint8(at + FLAGS, value);
}

export function setChecksum(view: DataView, at: number, value: number): void {
  view.setUint16(at + CHECKSUM, value);
}

/** Writes a header without options; window, checksum and urgent pointer are 0. */
export function write(
  view: DataView,
  at: number,
  sourcePort: number,
  destinationPort: number,
  sequence: number,
  acknowledgment: number,
  flags: number,
): void {
  view.setUint16(at + SOURCE_PORT, sourcePort);
  view.setUint16(at + DESTINATION_PORT, destinationPort);
  view.setInt32(at + SEQUENCE, sequence);
  view.setInt32(at + ACKNOWLEDGMENT, acknowledgment);
  view.setUint16(at + DATA_OFFSET, ((HEADER_SIZE / 4) << 12) | flags);
  view.setUint16(at + WINDOW, 0);
  view.setInt32(at + CHECKSUM, 0); // And the urgent pointer.
}
