/**
 * Another address and port at one end of a packet, or of a packet that an ICMP error quotes.
 * Checksums follow (RFC 1624): a wrong one stays as wrong as it was.
 */
import { changedChecksum, checksum, hexAt, isV4 } from "./bytes.ts";
import { headersOf, ICMPV6, readExtensions, TCP, UDP } from "./headers.ts";
import type { End } from "./load-balancing.ts";

export type Side = "source" | "destination";

/** The frame with `end` in place of what it is from or to. */
export function withEnd(frame: Buffer, side: Side, end: End): Buffer {
  const bytes = Buffer.from(frame);
  const ip = headersOf(bytes).ip!;
  const { protocol, transportAt } = ip;
  const hasPorts = protocol === TCP || protocol === UDP;
  const checksumAt = transportAt === null ? null : checksumOf(bytes, protocol, transportAt);
  putAddress(bytes, side, end, checksumAt);
  if (hasPorts && transportAt !== null) {
    const at = transportAt + (side === "source" ? 0 : 2);
    put16(bytes, at, end.port, checksumAt);
    // RFC 768: a sum of 0 is sent as its other form.
    if (protocol === UDP && checksumAt !== null && bytes.readUInt16BE(checksumAt) === 0) {
      bytes.writeUInt16BE(0xffff, checksumAt);
    }
  }
  return bytes;
}

/** The ICMP error with another end in what it quotes, and in itself when that is the same host. */
export function withQuotedEnd(frame: Buffer, own: Side, quoted: Side, end: End): Buffer {
  const bytes = Buffer.from(frame);
  const ip = headersOf(bytes).ip!;
  const isFour = isV4(ip.source);
  const errorSum = ip.transportAt! + 2;
  const at = ip.transportAt! + 8;
  const size = isFour ? 4 : 16;
  const addressAt = at + (isFour ? 12 : 8) + (quoted === "source" ? 0 : size);
  const isSame = hexAt(bytes, addressAt, size) === ip[own];
  // The quoted IPv4 header's own checksum changes along, so that the error's need not.
  put(bytes, addressAt, end.ip, isFour ? at + 10 : errorSum);
  const { protocol, portsAt } = quotedTransport(bytes, at, isFour);
  if (protocol === TCP || protocol === UDP) {
    put16(bytes, portsAt + (quoted === "source" ? 0 : 2), end.port, errorSum);
  }
  if (isSame) putAddress(bytes, own, end, isFour ? null : errorSum);
  return bytes;
}

function quotedTransport(bytes: Buffer, at: number, isFour: boolean) {
  if (isFour) return { protocol: bytes[at + 9]!, portsAt: at + (bytes[at]! & 0x0f) * 4 };
  const chain = readExtensions(bytes, at + 40, bytes.length, bytes[at + 6]!)!;
  return { protocol: chain.protocol, portsAt: chain.transportAt! };
}

function putAddress(bytes: Buffer, side: Side, { ip }: End, checksumAt: number | null): void {
  const { l3At } = headersOf(bytes);
  const isFour = isV4(ip);
  const size = isFour ? 4 : 16;
  put(bytes, l3At + (isFour ? 12 : 8) + (side === "source" ? 0 : size), ip, checksumAt);
  if (!isFour) return;
  const end = l3At + (bytes[l3At]! & 0x0f) * 4;
  bytes.writeUInt16BE(0, l3At + 10);
  bytes.writeUInt16BE(checksum(bytes.subarray(l3At, end)), l3At + 10);
}

/** Where the checksum is that covers the addresses; null when none does. */
function checksumOf(bytes: Buffer, protocol: number, at: number): number | null {
  if (protocol === TCP) return at + 16;
  if (protocol === UDP) return bytes.readUInt16BE(at + 6) === 0 ? null : at + 6;
  return protocol === ICMPV6 && !isV4(headersOf(bytes).ip!.source) ? at + 2 : null;
}

function put(bytes: Buffer, at: number, hex: string, checksumAt: number | null): void {
  for (let i = 0; i < hex.length; i += 4) {
    put16(bytes, at + i / 2, Number.parseInt(hex.slice(i, i + 4), 16), checksumAt);
  }
}

function put16(bytes: Buffer, at: number, value: number, checksumAt: number | null): void {
  const old = bytes.readUInt16BE(at);
  bytes.writeUInt16BE(value, at);
  if (checksumAt === null) return;
  const sum = bytes.readUInt16BE(checksumAt);
  bytes.writeUInt16BE(changedChecksum(sum, old, value), checksumAt);
}
