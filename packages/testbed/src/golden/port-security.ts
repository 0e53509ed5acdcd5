/**
 * Stages 0 and 14: what a workload may send, and what it may be sent.
 *
 * A secured port speaks with its own MAC address and, when it has IP addresses, with those only;
 * what it says of itself by ARP and neighbour discovery must be true as well.
 */
import type { DropReasonName } from "@rhone/rings/drop-reason";
import {
  hexAt,
  isGroupMac,
  isMappedV4,
  isMulticastOrAbove,
  isV4,
  UNSPECIFIED_V6,
} from "./bytes.ts";
import { type Headers, ICMPV6, type IpHeader, readHeaders, UDP } from "./headers.ts";
import type { GoldenPort } from "./network.ts";

const ROUTER_SOLICITATION = 133;
const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;
const SOURCE_LINK_LAYER = 1;
const TARGET_LINK_LAYER = 2;
const DHCP_SERVER = 67;

/** Stage 0: the reason to drop a frame for, null when it may come in. */
export function admit(port: GoldenPort, bytes: Buffer): DropReasonName | null {
  const headers = readHeaders(bytes);
  if (typeof headers === "string") return headers;
  if (headers.isTagged) return "vlan-unexpected";
  if (!port.isSecured) return null;
  if (headers.source !== port.mac) return "port-security-mac";
  if (headers.arp !== null) return checkArp(port, headers);
  if (headers.ip === null) return null;
  return checkIp(port, bytes, headers.ip) ?? checkDiscovery(port, bytes, headers.ip);
}

function checkArp(port: GoldenPort, { arp }: Headers): DropReasonName | null {
  const { senderMac, senderIp } = arp!;
  if (senderMac !== port.mac) return "port-security-arp";
  // A probe asks without an address (RFC 5227 §2.1.1).
  if (port.addresses.length === 0 || senderIp === "00000000") return null;
  return port.addresses.includes(senderIp) ? null : "port-security-arp";
}

function checkIp(port: GoldenPort, bytes: Buffer, ip: IpHeader): DropReasonName | null {
  if (port.addresses.length === 0 || port.addresses.includes(ip.source)) return null;
  const { transportAt } = ip;
  const isDhcp =
    ip.source === "00000000" &&
    ip.destination === "ffffffff" &&
    ip.protocol === UDP &&
    transportAt !== null &&
    bytes.readUInt16BE(transportAt + 2) === DHCP_SERVER;
  const hasIpv6 = port.addresses.some((address) => !isV4(address));
  // Duplicate address detection, router solicitations (RFC 4862 §5.4.2, RFC 4861 §4.1).
  const isFirstWords =
    ip.source === UNSPECIFIED_V6 && ip.protocol === ICMPV6 && transportAt !== null && hasIpv6;
  return isDhcp || isFirstWords ? null : "port-security-ip";
}

/** What the port says of its own addresses by neighbour discovery (RFC 4861 §4.1, §4.3, §4.4). */
function checkDiscovery(port: GoldenPort, bytes: Buffer, ip: IpHeader): DropReasonName | null {
  const at = ip.transportAt;
  if (isV4(ip.source) || ip.protocol !== ICMPV6 || at === null) return null;
  if (port.addresses.length === 0) return null;
  const type = bytes[at]!;
  const isSolicitation = type === NEIGHBOUR_SOLICITATION || type === ROUTER_SOLICITATION;
  if (!isSolicitation && type !== NEIGHBOUR_ADVERTISEMENT) return null;
  const optionsAt = at + (type === ROUTER_SOLICITATION ? 8 : 24);
  if (optionsAt > ip.end) return "malformed-transport";
  if (type !== ROUTER_SOLICITATION && isMappedV4(hexAt(bytes, at + 8, 16))) {
    return "malformed-transport";
  }
  if (type === NEIGHBOUR_ADVERTISEMENT && !port.addresses.includes(hexAt(bytes, at + 8, 16))) {
    return "port-security-nd";
  }
  const options = readOptions(bytes, optionsAt, ip.end);
  if (options === null) return "malformed-transport";
  const wanted = isSolicitation ? SOURCE_LINK_LAYER : TARGET_LINK_LAYER;
  const linkLayer = options.find((option) => option.type === wanted);
  return linkLayer === undefined || linkLayer.mac === port.mac ? null : "port-security-nd";
}

interface Option {
  readonly type: number;
  /** What it says if it is a link-layer option. */
  readonly mac: string;
}

/** null when one of them is cut off or of length 0 (RFC 4861 §4.6). */
function readOptions(bytes: Buffer, from: number, end: number): Option[] | null {
  const options: Option[] = [];
  for (let at = from; at < end; ) {
    const size = at + 1 < end ? bytes[at + 1]! * 8 : 0;
    if (size === 0 || at + size > end) return null;
    options.push({ type: bytes[at]!, mac: hexAt(bytes, at + 2, 6) });
    at += size;
  }
  return options;
}

/** Stage 14: the reason not to give a frame to a port, null when it may have it. */
export function mayReceive(port: GoldenPort, headers: Headers): DropReasonName | null {
  if (!port.isSecured || isGroupMac(headers.destination)) return null;
  if (headers.destination !== port.mac) return "port-security-egress";
  if (headers.ip === null || port.addresses.length === 0) return null;
  const { destination } = headers.ip;
  if (isMulticastOrAbove(destination) || port.addresses.includes(destination)) return null;
  return "port-security-egress";
}
