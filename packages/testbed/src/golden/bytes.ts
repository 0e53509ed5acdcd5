/**
 * Addresses and checksums for the golden router, written for reading and apart from `wire`: a
 * mistake there shall not hide itself here.
 *
 * An address is the text of its bytes in hexadecimal: 12 digits a MAC address, 8 an IPv4 address,
 * 32 an IPv6 address. So equal means `===`, and the family is in the length.
 */
import { isIPv6 } from "node:net";

export type Mac = string;
export type Ip = string;

export const BROADCAST_MAC: Mac = "ffffffffffff";
export const UNSPECIFIED_V6: Ip = "0".repeat(32);
export const LOOPBACK_V6: Ip = `${"0".repeat(31)}1`;

/** An IP address and how many of its first bits name the network. */
export interface Network {
  readonly ip: Ip;
  readonly length: number;
}

export function isV4(ip: Ip): boolean {
  return ip.length === 8;
}

export function macFromText(text: string): Mac {
  return text.replaceAll(":", "").toLowerCase();
}

/** Of the canonical texts that the desired state has. */
export function ipFromText(text: string): Ip {
  if (!isIPv6(text)) {
    return Buffer.from(text.split(".").map(Number)).toString("hex");
  }
  const [head, tail] = text.split("::");
  const groups = (part: string | undefined): string[] => (part ? part.split(":") : []);
  const before = groups(head);
  const behind = groups(tail);
  const zeros = new Array<string>(8 - before.length - behind.length).fill("0");
  return [...before, ...zeros, ...behind].map((group) => group.padStart(4, "0")).join("");
}

export function networkFromText(text: string): Network {
  const [ip, length] = text.split("/");
  return { ip: ipFromText(ip!), length: Number(length) };
}

/** The link-local address of a MAC address (RFC 4291 appendix A: its modified EUI-64). */
export function linkLocal(mac: Mac): Ip {
  const first = Number.parseInt(mac.slice(0, 2), 16) ^ 2;
  const flipped = first.toString(16).padStart(2, "0") + mac.slice(2);
  return `fe80${"0".repeat(12)}${flipped.slice(0, 6)}fffe${flipped.slice(6)}`;
}

export function contains(network: Network, ip: Ip): boolean {
  if (isV4(network.ip) !== isV4(ip)) return false;
  return bits(network.ip).slice(0, network.length) === bits(ip).slice(0, network.length);
}

function bits(ip: Ip): string {
  return [...ip].map((digit) => Number.parseInt(digit, 16).toString(2).padStart(4, "0")).join("");
}

function firstByte(ip: Ip): number {
  return Number.parseInt(ip.slice(0, 2), 16);
}

/** 224.0.0.0 and above (multicast, reserved, broadcast), or ff00::/8. */
export function isMulticastOrAbove(ip: Ip): boolean {
  return isV4(ip) ? firstByte(ip) >= 224 : firstByte(ip) === 0xff;
}

/** fe80::/10 (RFC 4291 §2.5.6). */
export function isLinkLocal(ip: Ip): boolean {
  return contains({ ip: `fe8${"0".repeat(29)}`, length: 10 }, ip);
}

/** ::ffff:0:0/96 (RFC 4291 §2.5.5.2): a way to write IPv4 addresses, never seen on a wire. */
export function isMappedV4(ip: Ip): boolean {
  return contains({ ip: `${"0".repeat(20)}ffff${"0".repeat(8)}`, length: 96 }, ip);
}

/** Whether a packet from or to it may pass a router (RFC 1812 §5.3.7, RFC 4291 §2.5.2, §2.5.3). */
export function isHost(ip: Ip): boolean {
  if (isMulticastOrAbove(ip)) return false;
  if (isV4(ip)) return firstByte(ip) !== 0 && firstByte(ip) !== 127;
  return ip !== UNSPECIFIED_V6 && ip !== LOOPBACK_V6;
}

export function isGroupMac(mac: Mac): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
}

export function hexAt(bytes: Buffer, at: number, size: number): string {
  return bytes.toString("hex", at, at + size);
}

export function putHex(bytes: Buffer, at: number, hex: string): void {
  bytes.write(hex, at, "hex");
}

/** The Internet checksum (RFC 1071) of the bytes: 0 when they contain a right one. */
export function checksum(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return 0xffff - sum;
}

/** The checksum after one 16-bit word of what it covers has changed (RFC 1624, equation 3). */
export function changedChecksum(old: number, from: number, to: number): number {
  return checksum(u16(0xffff - old), u16(0xffff - from), u16(to));
}

export function u16(value: number): Buffer {
  return Buffer.from([value >>> 8, value & 0xff]);
}

export function u32(value: number): Buffer {
  return Buffer.concat([u16(value >>> 16), u16(value & 0xffff)]);
}
