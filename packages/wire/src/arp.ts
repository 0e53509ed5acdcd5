/**
 * ARP for IPv4 over Ethernet (RFC 826): 28 bytes.
 *
 *   | hardware (2) | protocol (2) | hlen (1) | plen (1) | operation (2) |
 *   | sender MAC (6) | sender IP (4) | target MAC (6) | target IP (4) |
 */
export const SIZE = 28; // bytes
export const REQUEST = 1;
export const REPLY = 2;

const HARDWARE_AND_PROTOCOL = 0;
const LENGTHS = 4;
const OPERATION = 6;
const SENDER_MAC = 8;
const SENDER_IP = 14;
const TARGET_MAC = 18;
const TARGET_IP = 24;
const ETHERNET_AND_IPV4 = 0x00010800;
const LENGTHS_6_AND_4 = 0x0604;

export function isValid(view: DataView, at: number, end: number): boolean {
  if (end - at < SIZE) return false;
  return (
    view.getInt32(at + HARDWARE_AND_PROTOCOL) === ETHERNET_AND_IPV4 &&
    view.getUint16(at + LENGTHS) === LENGTHS_6_AND_4
  );
}

export function operation(view: DataView, at: number): number {
  return view.getUint16(at + OPERATION);
}

export function senderMacHigh(view: DataView, at: number): number {
  return view.getInt32(at + SENDER_MAC);
}

export function senderMacLow(view: DataView, at: number): number {
  return view.getUint16(at + SENDER_MAC + 4);
}

export function senderIp(view: DataView, at: number): number {
  return view.getInt32(at + SENDER_IP);
}

export function targetMacHigh(view: DataView, at: number): number {
  return view.getInt32(at + TARGET_MAC);
}

export function targetMacLow(view: DataView, at: number): number {
  return view.getUint16(at + TARGET_MAC + 4);
}

export function targetIp(view: DataView, at: number): number {
  return view.getInt32(at + TARGET_IP);
}

export function write(
  view: DataView,
  at: number,
  operation: number,
  senderMacHigh: number,
  senderMacLow: number,
  senderIp: number,
  targetMacHigh: number,
  targetMacLow: number,
  targetIp: number,
): void {
  view.setInt32(at + HARDWARE_AND_PROTOCOL, ETHERNET_AND_IPV4);
  view.setUint16(at + LENGTHS, LENGTHS_6_AND_4);
  view.setUint16(at + OPERATION, operation);
  view.setInt32(at + SENDER_MAC, senderMacHigh);
  view.setUint16(at + SENDER_MAC + 4, senderMacLow);
  view.setInt32(at + SENDER_IP, senderIp);
  view.setInt32(at + TARGET_MAC, targetMacHigh);
  view.setUint16(at + TARGET_MAC + 4, targetMacLow);
  view.setInt32(at + TARGET_IP, targetIp);
}

/** Turns a request for an address into the reply that says: it is at this MAC address. */
export function turnIntoReply(view: DataView, at: number, macHigh: number, macLow: number): void {
  const asked = targetIp(view, at);
  const askerHigh = senderMacHigh(view, at);
  const askerLow = senderMacLow(view, at);
  write(view, at, REPLY, macHigh, macLow, asked, askerHigh, askerLow, senderIp(view, at));
}
