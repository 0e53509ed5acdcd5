/**
 * The headers of a frame as an object, or what is malformed about it (IEEE 802.3 and 802.1Q, RFC
 * 826, RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443).
 */
import type { DropReasonName } from "@rhone/rings/drop-reason";
import { checksum, hexAt, type Ip, isGroupMac, isMappedV4, isV4, type Mac } from "./bytes.ts";

export const IPV4 = 0x0800;
export const ARP = 0x0806;
export const IPV6 = 0x86dd;
const VLAN_TAGS: readonly number[] = [0x8100, 0x88a8];
const VLAN_TAGS_MAX = 2;

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;

const FRAGMENT = 44;
const AUTHENTICATION = 51;
/** Hop-by-hop, routing, fragment, authentication and destination options. */
const EXTENSIONS: readonly number[] = [0, 43, FRAGMENT, AUTHENTICATION, 60];
const EXTENSIONS_MAX = 8;

export interface ArpHeader {
  readonly operation: number;
  readonly senderMac: Mac;
  readonly senderIp: Ip;
  readonly targetIp: Ip;
}

export interface IpHeader {
  readonly source: Ip;
  readonly destination: Ip;
  readonly ttl: number;
  readonly protocol: number;
  /** Where the IP packet ends; what follows in the frame is padding. */
  readonly end: number;
  /** Any fragment of a packet, the first one included. */
  readonly isFragment: boolean;
  readonly isLaterFragment: boolean;
  readonly dontFragment: boolean;
  /** The same for all fragments of a packet. */
  readonly identification: number;
  /** Where the transport header starts; null in a later fragment. */
  readonly transportAt: number | null;
}

export interface Headers {
  readonly destination: Mac;
  readonly source: Mac;
  /** What the frame carries, behind VLAN tags. */
  readonly etherType: number;
  readonly isTagged: boolean;
  /** Where that starts. */
  readonly l3At: number;
  readonly arp: ArpHeader | null;
  readonly ip: IpHeader | null;
}

/** The headers, or the reason to drop the frame for. */
export function readHeaders(bytes: Buffer): Headers | DropReasonName {
  if (bytes.length < 14) return "malformed-ethernet";
  if (isGroupMac(hexAt(bytes, 6, 6))) return "malformed-ethernet"; // IEEE 802.3 §3.2.3
  let l3At = 14;
  let tags = 0;
  while (VLAN_TAGS.includes(bytes.readUInt16BE(l3At - 2))) {
    if (tags === VLAN_TAGS_MAX || bytes.length < l3At + 4) return "malformed-ethernet";
    tags++;
    l3At += 4;
  }
  const etherType = bytes.readUInt16BE(l3At - 2);
  const ethernet = {
    destination: hexAt(bytes, 0, 6),
    source: hexAt(bytes, 6, 6),
    ...{ etherType, isTagged: tags > 0, l3At, arp: null, ip: null },
  };
  if (etherType === ARP) {
    const arp = readArp(bytes, l3At);
    return arp === null ? "malformed-arp" : { ...ethernet, arp };
  }
  if (etherType !== IPV4 && etherType !== IPV6) return ethernet;
  const ip = etherType === IPV4 ? readIpv4(bytes, l3At) : readIpv6(bytes, l3At);
  if (ip === null) return etherType === IPV4 ? "malformed-ipv4" : "malformed-ipv6";
  return hasTransport(bytes, ip) ? { ...ethernet, ip } : "malformed-transport";
}

/** The headers of a frame that was let in. */
export function headersOf(bytes: Buffer): Headers {
  const headers = readHeaders(bytes);
  if (typeof headers === "string") throw new Error(`expected a sound frame, got ${headers}`);
  return headers;
}

/** IPv4 over Ethernet is all the ARP that there is. */
function readArp(bytes: Buffer, at: number): ArpHeader | null {
  if (bytes.length < at + 28 || hexAt(bytes, at, 6) !== "000108000604") return null;
  return {
    operation: bytes.readUInt16BE(at + 6),
    senderMac: hexAt(bytes, at + 8, 6),
    senderIp: hexAt(bytes, at + 14, 4),
    targetIp: hexAt(bytes, at + 24, 4),
  };
}

function readIpv4(bytes: Buffer, at: number): IpHeader | null {
  if (bytes.length < at + 20 || bytes[at]! >>> 4 !== 4) return null;
  const headerSize = (bytes[at]! & 0x0f) * 4;
  const end = at + bytes.readUInt16BE(at + 2);
  if (headerSize < 20 || end < at + headerSize || end > bytes.length) return null;
  if (checksum(bytes.subarray(at, at + headerSize)) !== 0) return null;
  const flags = bytes.readUInt16BE(at + 6);
  const isLaterFragment = (flags & 0x1fff) !== 0;
  return {
    source: hexAt(bytes, at + 12, 4),
    destination: hexAt(bytes, at + 16, 4),
    ttl: bytes[at + 8]!,
    protocol: bytes[at + 9]!,
    end,
    isFragment: isLaterFragment || (flags & 0x2000) !== 0,
    isLaterFragment,
    dontFragment: (flags & 0x4000) !== 0,
    identification: bytes.readUInt16BE(at + 4),
    transportAt: isLaterFragment ? null : at + headerSize,
  };
}

function readIpv6(bytes: Buffer, at: number): IpHeader | null {
  if (bytes.length < at + 40 || bytes[at]! >>> 4 !== 6) return null;
  const end = at + 40 + bytes.readUInt16BE(at + 4);
  const source = hexAt(bytes, at + 8, 16);
  const destination = hexAt(bytes, at + 24, 16);
  if (end > bytes.length || isMappedV4(source) || isMappedV4(destination)) return null;
  const chain = readExtensions(bytes, at + 40, end, bytes[at + 6]!);
  if (chain === null) return null;
  return { source, destination, ttl: bytes[at + 7]!, end, dontFragment: true, ...chain };
}

type Chain = Pick<
  IpHeader,
  "protocol" | "isFragment" | "isLaterFragment" | "identification" | "transportAt"
>;

/** The extension headers (RFC 8200 §4) in `[at, end)`; null when they are cut off. */
export function readExtensions(
  bytes: Buffer,
  at: number,
  end: number,
  first: number,
): Chain | null {
  let protocol = first;
  let next = at;
  let fragment = { isFragment: false, identification: 0 };
  for (let count = 0; EXTENSIONS.includes(protocol); count++) {
    if (count === EXTENSIONS_MAX || end - next < 8) return null;
    if (protocol === FRAGMENT) {
      fragment = { isFragment: true, identification: bytes.readUInt32BE(next + 4) };
      if ((bytes.readUInt16BE(next + 2) & 0xfff8) !== 0) {
        return { ...fragment, protocol: bytes[next]!, isLaterFragment: true, transportAt: null };
      }
    }
    const size = extensionSize(protocol, bytes[next + 1]!);
    if (size > end - next) return null;
    protocol = bytes[next]!;
    next += size;
  }
  return { ...fragment, protocol, isLaterFragment: false, transportAt: next };
}

function extensionSize(protocol: number, length: number): number {
  if (protocol === FRAGMENT) return 8;
  return protocol === AUTHENTICATION ? (length + 2) * 4 : (length + 1) * 8; // RFC 4302 §2.2
}

/** Whether the transport header, as far as it is known here, is whole. */
function hasTransport(bytes: Buffer, { source, protocol, transportAt, end }: IpHeader): boolean {
  if (transportAt === null) return true;
  const size = end - transportAt;
  switch (protocol) {
    case TCP: {
      if (size < 20) return false;
      const headerSize = (bytes[transportAt + 12]! >>> 4) * 4;
      return headerSize >= 20 && headerSize <= size;
    }
    case UDP:
      return size >= 8 && bytes.readUInt16BE(transportAt + 4) >= 8;
    case ICMP:
    case ICMPV6: // Each belongs to its family; in the other one it is just some protocol.
      return size >= 8 || (protocol === ICMP) !== isV4(source);
    default:
      return true;
  }
}
