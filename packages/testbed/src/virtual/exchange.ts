/** What goes on between two workloads: answers to what was delivered, and more of the same. */
import { changedChecksum, hexAt, isV4 } from "../golden/bytes.ts";
import {
  type Headers,
  ICMP,
  ICMPV6,
  IPV4,
  IPV6,
  readHeaders,
  TCP,
  UDP,
} from "../golden/headers.ts";
import * as frames from "./frames.ts";
import type { PacketSpec } from "./packet-spec.ts";

const FIN = 1;
const SYN = 2;
const RST = 4;
const PSH = 8;
const ACK = 16;
const WINDOW = 1000;

/** A frame as it was sent and as it was delivered. */
export interface Exchange {
  readonly from: string;
  readonly sent: Buffer;
  readonly to: string;
  readonly delivered: Buffer;
}

export interface Next {
  readonly port: string;
  readonly bytes: Buffer;
}

/** The first segments of a connection, or what never was one. */
export function firstSegment({ detail }: PacketSpec): frames.TcpFields {
  const kinds = [SYN, SYN, SYN, SYN, SYN | ACK, ACK, FIN | ACK, RST, 0, SYN | FIN, ACK | PSH];
  const flags = kinds[detail % kinds.length]!;
  const acknowledgment = (flags & ACK) === 0 ? 0 : 5000;
  const sequence = (0xfffffff0 + (detail % 3) * 100) >>> 0; // Near the end of the numbers.
  return { flags, sequence, acknowledgment, window: WINDOW, scale: scaleOf(flags, detail) };
}

/** Some of those that say SYN scale their windows. */
function scaleOf(flags: number, detail: number): number | null {
  return (flags & SYN) !== 0 && detail % 4 < 2 ? (detail % 4) * 7 : null;
}

interface Segment {
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledgment: number;
  /** Sequence numbers that it takes. */
  readonly length: number;
}

function segmentOf(bytes: Buffer, { ip }: Headers): Segment {
  const at = ip!.transportAt!;
  const flags = bytes[at + 13]!;
  const payload = ip!.end - at - (bytes[at + 12]! >>> 4) * 4;
  return {
    flags,
    sequence: bytes.readUInt32BE(at + 4),
    acknowledgment: bytes.readUInt32BE(at + 8),
    length: payload + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0),
  };
}

/** What the receiver sends back; null when the packet asks for nothing. */
export function reply({ to, delivered }: Exchange, spec: PacketSpec): Next | null {
  const headers = readHeaders(delivered);
  if (typeof headers === "string" || headers.ip === null) return null;
  const { ip, source, destination, l3At } = headers;
  if (ip.transportAt === null) return null;
  const ends = endsOf(delivered, headers, true);
  const message = spec.detail % 16 === 7 ? null : answer(delivered, headers, ends, spec);
  const isIpv4 = isV4(ip.source);
  const [type, code] = isIpv4 ? [3, 3] : [1, 4];
  const quoted = delivered.subarray(l3At, ip.end);
  const payload = message ?? frames.icmp(ends.source, ends.destination, type!, code!, 0, quoted);
  const protocol = message === null ? (isIpv4 ? ICMP : ICMPV6) : ip.protocol;
  const fields = {
    ...{ source: ends.source, destination: ends.destination, ttl: 64, protocol },
    ...{ dontFragment: spec.dontFragment, hasOptions: spec.hasOptions, fragment: null },
  };
  const packet = frames.ipPacket(fields, payload);
  const etherType = isIpv4 ? IPV4 : IPV6;
  return { port: to, bytes: frames.ethernet(source, destination, etherType, packet) };
}

function endsOf(bytes: Buffer, { ip }: Headers, isBack: boolean): frames.Ends {
  const { source, destination, protocol, transportAt } = ip!;
  const hasPorts = protocol === TCP || protocol === UDP;
  const sourcePort = hasPorts ? bytes.readUInt16BE(transportAt!) : 0;
  const destinationPort = hasPorts ? bytes.readUInt16BE(transportAt! + 2) : 0;
  if (!isBack) return { source, destination, sourcePort, destinationPort };
  return {
    ...{ source: destination, destination: source },
    ...{ sourcePort: destinationPort, destinationPort: sourcePort },
  };
}

/** null: only an error can be the answer. */
function answer(bytes: Buffer, headers: Headers, ends: frames.Ends, spec: PacketSpec) {
  const { protocol, transportAt, source } = headers.ip!;
  const data = Buffer.alloc(spec.size, 0x62);
  if (protocol === UDP) return frames.udp(ends, data);
  if (protocol === TCP) {
    const fields = answerSegment(segmentOf(bytes, headers), spec);
    return frames.tcp(ends, fields, (fields.flags & SYN) !== 0 ? Buffer.alloc(0) : data);
  }
  const [request, response] = isV4(source) ? [8, 0] : [128, 129];
  const isEcho = (protocol === ICMP || protocol === ICMPV6) && bytes[transportAt!] === request;
  if (!isEcho) return null;
  const rest = bytes.readInt32BE(transportAt! + 4);
  return frames.icmp(ends.source, ends.destination, response!, 0, rest, data);
}

function answerSegment(segment: Segment, { detail }: PacketSpec): frames.TcpFields {
  const isFirst = (segment.flags & SYN) !== 0 && (segment.flags & ACK) === 0;
  const kinds = [ACK, ACK | PSH, ACK, FIN | ACK, RST | ACK, ACK | PSH, RST];
  const later = kinds[detail % kinds.length]!;
  const isWild = detail % 32 === 31; // Far outside of every window.
  const sequence = isFirst ? 5000 : segment.acknowledgment;
  const flags = isFirst ? (detail === 3 ? RST | ACK : SYN | ACK) : later;
  return {
    flags,
    scale: scaleOf(flags, detail),
    sequence: (sequence + (isWild ? 0x10000000 : 0)) >>> 0,
    acknowledgment: (segment.sequence + segment.length) >>> 0,
    window: WINDOW,
  };
}

/** What the receiver would send back, sent by the sender, and the same way as before. */
export function mirror({ from, to, sent }: Exchange, spec: PacketSpec): Next | null {
  const next = reply({ from, sent, to, delivered: sent }, spec);
  if (next === null) return null;
  const bytes = Buffer.concat([sent.subarray(0, 12), next.bytes.subarray(12)]);
  return { port: from, bytes };
}

/** The next packet of the sender's or the same one once more; of a fragment the next one. */
export function again({ from, sent }: Exchange, spec: PacketSpec): Next | null {
  const headers = readHeaders(sent);
  if (typeof headers === "string") return null;
  const { ip } = headers;
  if (ip?.isFragment) return { port: from, bytes: nextFragment(headers, spec) };
  const isTcp = ip !== null && ip.protocol === TCP && ip.transportAt !== null;
  if (!isTcp || spec.detail % 4 === 0) return { port: from, bytes: Buffer.from(sent) };
  const { flags, sequence, length } = segmentOf(sent, headers);
  const bytes = Buffer.from(sent);
  const at = ip.transportAt!;
  const kinds = [ACK, ACK | PSH, FIN | ACK, RST];
  setWord(bytes, at, 12, (bytes[at + 12]! << 8) | kinds[spec.detail % kinds.length]!);
  setDouble(bytes, at, 4, (sequence + length) >>> 0);
  // Whoever said SYN knows now what it has to acknowledge.
  if ((flags & SYN) !== 0) setDouble(bytes, at, 8, 5001);
  return { port: from, bytes };
}

/** Another fragment of the same packet, of four bytes times two. */
function nextFragment(headers: Headers, spec: PacketSpec): Buffer {
  const { source, destination, protocol, identification, dontFragment } = headers.ip!;
  const fields = {
    ...{ source, destination, protocol, dontFragment, ttl: 64, hasOptions: spec.hasOptions },
    fragment: { identification, offset: 4 + (spec.detail % 3), hasMore: spec.detail % 2 === 0 },
  };
  const packet = frames.ipPacket(fields, Buffer.alloc(8, 0x63));
  return frames.ethernet(headers.destination, headers.source, headers.etherType, packet);
}

function setDouble(bytes: Buffer, at: number, offset: number, value: number): void {
  setWord(bytes, at, offset, value >>> 16);
  setWord(bytes, at, offset + 2, value & 0xffff);
}

/** Changes a word of a TCP header and its checksum. */
function setWord(bytes: Buffer, at: number, offset: number, value: number): void {
  const before = bytes.readUInt16BE(at + offset);
  bytes.writeUInt16BE(value, at + offset);
  bytes.writeUInt16BE(changedChecksum(bytes.readUInt16BE(at + 16), before, value), at + 16);
}

/** For messages: the frame's first bytes. */
export function describe(bytes: Uint8Array): string {
  return hexAt(Buffer.from(bytes), 0, Math.min(100, bytes.length));
}
