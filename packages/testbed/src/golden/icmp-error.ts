/** The ICMP or ICMPv6 error about a packet (RFC 792, RFC 1812 §4.3.2, RFC 4443 §2.4). */
import { checksum, type Ip, isHost, isMulticastOrAbove, isV4, u16, u32 } from "./bytes.ts";
import { headersOf, ICMP, ICMPV6, type IpHeader } from "./headers.ts";
import { ipv6Message } from "./l2.ts";

const TTL = 64;
const IPV4_SIZE_MAX = 576; // RFC 1812 §4.3.2.3
const IPV6_SIZE_MAX = 1280; // RFC 4443 §2.4 (c)
const ECHO: readonly number[] = [0, 8];

export type ErrorKind = "time-exceeded" | "no-route" | "host-unreachable" | "too-big" | "rejected";

/** Type and code: in ICMP, in ICMPv6. */
const CODES: { readonly [kind in ErrorKind]: readonly [number, number, number, number] } = {
  "time-exceeded": [11, 0, 3, 0],
  "no-route": [3, 0, 1, 0],
  "host-unreachable": [3, 1, 1, 3],
  "too-big": [3, 4, 2, 0],
  rejected: [3, 3, 1, 4],
};

/**
 * The frame of the error about `bytes`, back to the MAC address that it came from; null when none
 * may be sent about it (RFC 1812 §4.3.2.7, RFC 4443 §2.4 (e)).
 */
export function errorAbout(bytes: Buffer, kind: ErrorKind, from: Ip, mtu = 0): Buffer | null {
  const { source, destination, ip, l3At } = headersOf(bytes);
  if (ip === null || !mayAnswer(bytes, ip, kind)) return null;
  const quotation = bytes.subarray(l3At, ip.end);
  const packet = isV4(ip.source)
    ? errorV4(quotation, kind, from, ip.source, mtu)
    : errorV6(quotation, kind, from, ip.source, mtu);
  const etherType = isV4(ip.source) ? "0800" : "86dd";
  return Buffer.concat([Buffer.from(source + destination + etherType, "hex"), packet]);
}

function errorV4(quotation: Buffer, kind: ErrorKind, from: Ip, to: Ip, mtu: number): Buffer {
  const [type, code] = CODES[kind];
  const body = quotation.subarray(0, IPV4_SIZE_MAX - 28);
  const message = Buffer.concat([Buffer.from([type, code, 0, 0]), u32(mtu), body]);
  message.writeUInt16BE(checksum(message), 2);
  const header = Buffer.concat([
    Buffer.from([0x45, 0]),
    u16(20 + message.length),
    Buffer.from([0, 0, 0x40, 0, TTL, ICMP, 0, 0]), // Do not fragment.
    Buffer.from(from + to, "hex"),
  ]);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, message]);
}

function errorV6(quotation: Buffer, kind: ErrorKind, from: Ip, to: Ip, mtu: number): Buffer {
  const [, , type, code] = CODES[kind];
  const body = quotation.subarray(0, IPV6_SIZE_MAX - 48);
  const message = Buffer.concat([Buffer.from([type, code, 0, 0]), u32(mtu), body]);
  return ipv6Message(from, to, TTL, message);
}

function mayAnswer(bytes: Buffer, ip: IpHeader, kind: ErrorKind): boolean {
  const at = ip.transportAt;
  if (isV4(ip.source)) {
    if (ip.isLaterFragment || !isHost(ip.source) || !isHost(ip.destination)) return false;
    return ip.protocol !== ICMP || ECHO.includes(bytes[at!]!);
  }
  if (!isHost(ip.source)) return false;
  if (isMulticastOrAbove(ip.destination) && kind !== "too-big") return false;
  return ip.protocol !== ICMPV6 || (at !== null && bytes[at]! >= 128); // Errors are below 128.
}
