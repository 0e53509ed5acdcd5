/**
 * Frames as bytes, for scenarios. Written without the headers of `wire`, so that a mistake there
 * does not hide itself.
 */
import { isIPv6 } from "node:net";

const ARP = 0x0806;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
export const BROADCAST = "ff:ff:ff:ff:ff:ff";
export const ALL_NODES = "ff02::1";
export const ALL_NODES_MAC = "33:33:00:00:00:01";
const UDP = 17;
const ICMPV6 = 58;
const NEIGHBOUR_ADVERTISEMENT = 136;

export interface Ends {
  readonly fromMac: string;
  readonly toMac: string;
  readonly from: string;
  readonly to: string;
}

/** UDP with a few bytes, to the discard port. */
export function udpFrame({ fromMac, toMac, from, to }: Ends): Buffer {
  const payload = Buffer.from("rhone");
  const header = Buffer.concat([u16(40000), u16(9), u16(8 + payload.length), u16(0)]);
  const segment = Buffer.concat([header, payload]);
  return isIPv6(from)
    ? ethernet(toMac, fromMac, IPV6, ipv6(from, to, UDP, 64, withSum(segment, 6, from, to, UDP)))
    : ethernet(toMac, fromMac, IPV4, ipv4(from, to, UDP, segment));
}

/**
 * A UDP datagram of IPv4 in fragments of `pieceSize` bytes of payload, a multiple of 8, in their
 * order (RFC 791 §3.2).
 */
export function udpFragments(
  { fromMac, toMac, from, to }: Ends,
  destinationPort: number,
  identification: number,
  payload: Buffer,
  pieceSize: number,
): Buffer[] {
  const header = Buffer.concat([u16(40000), u16(destinationPort), u16(8 + payload.length), u16(0)]);
  const datagram = Buffer.concat([header, payload]);
  const starts = Array.from(
    { length: Math.ceil(datagram.length / pieceSize) },
    (_, i) => i * pieceSize,
  );
  return starts.map((at) => {
    const hasMore = at + pieceSize < datagram.length;
    const packet = ipv4(from, to, UDP, datagram.subarray(at, at + pieceSize));
    packet.writeUInt16BE(identification, 4);
    packet.writeUInt16BE((hasMore ? 0x2000 : 0) | (at / 8), 6);
    packet.writeUInt16BE(0, 10);
    packet.writeUInt16BE(checksum(packet.subarray(0, 20)), 10);
    return ethernet(toMac, fromMac, IPV4, packet);
  });
}

/** A broadcast question for `target` by somebody who says to be `senderMac` and `senderIp`. */
export function arpRequest(
  fromMac: string,
  sender: { readonly mac: string; readonly ip: string },
  target: string,
): Buffer {
  const kind = Buffer.concat([u16(1), u16(IPV4), Buffer.from([6, 4]), u16(1)]);
  const addresses = [mac(sender.mac), ip(sender.ip), Buffer.alloc(6), ip(target)];
  return ethernet(BROADCAST, fromMac, ARP, Buffer.concat([kind, ...addresses]));
}

/** Tells all nodes that `target` is at `targetMac`. */
export function neighbourAdvertisement(
  fromMac: string,
  from: string,
  { target, targetMac }: { readonly target: string; readonly targetMac: string },
): Buffer {
  const head = Buffer.from([NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, 0x20, 0, 0, 0]);
  const message = Buffer.concat([head, ip(target), Buffer.from([2, 1]), mac(targetMac)]);
  const summed = withSum(message, 2, from, ALL_NODES, ICMPV6);
  return ethernet(ALL_NODES_MAC, fromMac, IPV6, ipv6(from, ALL_NODES, ICMPV6, 255, summed));
}

function ethernet(to: string, from: string, type: number, payload: Buffer): Buffer {
  return Buffer.concat([mac(to), mac(from), u16(type), payload]);
}

function ipv4(from: string, to: string, protocol: number, payload: Buffer): Buffer {
  const header = Buffer.concat([
    Buffer.from([0x45, 0]),
    u16(20 + payload.length),
    Buffer.from([0, 0, 0, 0, 64, protocol, 0, 0]),
    ip(from),
    ip(to),
  ]);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

function ipv6(from: string, to: string, next: number, hopLimit: number, payload: Buffer): Buffer {
  const start = Buffer.concat([
    Buffer.from([0x60, 0, 0, 0]),
    u16(payload.length),
    Buffer.from([next, hopLimit]),
  ]);
  return Buffer.concat([start, ip(from), ip(to), payload]);
}

/** The message with its checksum (RFC 8200 §8.1) at byte `at`, where it has zeros. */
function withSum(message: Buffer, at: number, from: string, to: string, next: number): Buffer {
  const pseudo = Buffer.concat([ip(from), ip(to), u16(0), u16(message.length), u16(0), u16(next)]);
  const summed = Buffer.from(message);
  summed.writeUInt16BE(checksum(Buffer.concat([pseudo, message])), at);
  return summed;
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i]! << 8 : bytes[i]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function u16(value: number): Buffer {
  return Buffer.from([value >>> 8, value & 0xff]);
}

function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(":", ""), "hex");
}

function ip(text: string): Buffer {
  if (!isIPv6(text)) return Buffer.from(text.split(".").map(Number));
  const [head, tail] = text.split("::");
  const groups = (part: string | undefined): string[] => (part ? part.split(":") : []);
  const [before, behind] = [groups(head), groups(tail)];
  const zeros = new Array<string>(8 - before.length - behind.length).fill("0");
  const all = [...before, ...zeros, ...behind].map((group) => Number.parseInt(group, 16));
  return Buffer.concat(all.map(u16));
}
