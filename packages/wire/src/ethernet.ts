/**
 * Ethernet II header (IEEE 802.3 §3.2): 14 bytes.
 *
 *   | destination (6) | source (6) | EtherType (2) |
 *
 * A MAC address is two numbers: `high`, its first four bytes as a signed 32-bit word, and `low`,
 * its last two bytes.
 */
export const HEADER_SIZE = 14; // bytes
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_RARP = 0x8035; // RFC 903
export const ETHERTYPE_VLAN = 0x8100; // IEEE 802.1Q
export const ETHERTYPE_QINQ = 0x88a8; // IEEE 802.1ad
export const ETHERTYPE_IPV6 = 0x86dd;

const DESTINATION = 0;
const SOURCE = 6;
const ETHERTYPE = 12;
const GROUP_BIT = 0x01;

export function isValid(_view: DataView, at: number, end: number): boolean {
  return end - at >= HEADER_SIZE;
}

export function destinationHigh(view: DataView, at: number): number {
  return view.getInt32(at + DESTINATION);
}

export function destinationLow(view: DataView, at: number): number {
  return view.getUint16(at + DESTINATION + 4);
}

export function sourceHigh(view: DataView, at: number): number {
  return view.getInt32(at + SOURCE);
}

export function sourceLow(view: DataView, at: number): number {
  return view.getUint16(at + SOURCE + 4);
}

export function etherType(view: DataView, at: number): number {
  return view.getUint16(at + ETHERTYPE);
}

/** Whether the destination is a group address, broadcast included. */
export function isMulticast(view: DataView, at: number): boolean {
  return (view.getUint8(at + DESTINATION) & GROUP_BIT) !== 0;
}

/** Whether the source is a group address, which nobody can be (IEEE 802.3 §3.2.3). */
export function hasGroupSource(view: DataView, at: number): boolean {
  return (view.getUint8(at + SOURCE) & GROUP_BIT) !== 0;
}

export function isBroadcast(view: DataView, at: number): boolean {
  return destinationHigh(view, at) === -1 && destinationLow(view, at) === 0xffff;
}

export function setDestination(view: DataView, at: number, high: number, low: number): void {
  view.setInt32(at + DESTINATION, high);
  view.setUint16(at + DESTINATION + 4, low);
}

export function setSource(view: DataView, at: number, high: number, low: number): void {
  view.setInt32(at + SOURCE, high);
  view.setUint16(at + SOURCE + 4, low);
}

export function setEtherType(view: DataView, at: number, value: number): void {
  view.setUint16(at + ETHERTYPE, value);
}

export function swapAddresses(view: DataView, at: number): void {
  const high = destinationHigh(view, at);
  const low = destinationLow(view, at);
  setDestination(view, at, sourceHigh(view, at), sourceLow(view, at));
  setSource(view, at, high, low);
}

export function write(
  view: DataView,
  at: number,
  dHigh: number,
  dLow: number,
  sHigh: number,
  sLow: number,
  etherType: number,
): void {
  setDestination(view, at, dHigh, dLow);
  setSource(view, at, sHigh, sLow);
  setEtherType(view, at, etherType);
}
