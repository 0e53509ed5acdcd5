/**
 * What the sender of a rejected packet is told, in the name of whom the packet was for: a TCP reset
 * (RFC 9293 §3.10.7.1), else port unreachable.
 */
import { checksum, isV4, u16, u32 } from "./bytes.ts";
import { headersOf, type IpHeader, TCP } from "./headers.ts";
import { errorAbout } from "./icmp-error.ts";
import { readSegment } from "./tcp.ts";

const TTL = 64;
const RST = 4;
const ACK = 16;

/** The frame back to where the packet came from; null when it may not be answered. */
export function answerTo(bytes: Buffer): Buffer | null {
  const { ip } = headersOf(bytes);
  if (ip === null || ip.isFragment) return null;
  if (ip.protocol !== TCP) return errorAbout(bytes, "rejected", ip.destination);
  // Whatever other flags a reset has, it is not answered.
  return (bytes[ip.transportAt! + 13]! & RST) !== 0 ? null : resetOf(bytes, ip);
}

function resetOf(bytes: Buffer, ip: IpHeader): Buffer {
  const { source, destination } = headersOf(bytes);
  const { isAck, acknowledgment, end } = readSegment(bytes, ip);
  const at = ip.transportAt!;
  const segment = Buffer.concat([
    u16(bytes.readUInt16BE(at + 2)),
    u16(bytes.readUInt16BE(at)),
    u32(isAck ? acknowledgment : 0),
    u32(isAck ? 0 : end),
    Buffer.from([0x50, isAck ? RST : RST | ACK, 0, 0, 0, 0, 0, 0]),
  ]);
  const addresses = Buffer.from(ip.destination + ip.source, "hex");
  segment.writeUInt16BE(checksum(addresses, u32(segment.length), u32(TCP), segment), 16);
  const etherType = isV4(ip.source) ? "0800" : "86dd";
  const header = isV4(ip.source) ? headerV4(addresses) : headerV6(addresses);
  const ethernet = Buffer.from(source + destination + etherType, "hex");
  return Buffer.concat([ethernet, header, segment]);
}

function headerV4(addresses: Buffer): Buffer {
  const start = Buffer.from([0x45, 0, 0, 40, 0, 0, 0x40, 0, TTL, TCP, 0, 0]); // Do not fragment.
  const header = Buffer.concat([start, addresses]);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

function headerV6(addresses: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x60, 0, 0, 0, 0, 20, TCP, TTL]), addresses]);
}
