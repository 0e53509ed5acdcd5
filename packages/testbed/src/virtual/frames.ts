/** Frames from the numbers that matter; every checksum is right. */
import { checksum, type Ip, isV4, type Mac, u16, u32 } from "../golden/bytes.ts";
import { ICMP, ICMPV6, TCP, UDP } from "../golden/headers.ts";

export interface IpFields {
  readonly source: Ip;
  readonly destination: Ip;
  readonly ttl: number;
  readonly protocol: number;
  readonly dontFragment: boolean;
  /** IPv4 options, or IPv6 extension headers in front of a fragment header. */
  readonly hasOptions: boolean;
  readonly fragment: Fragment | null;
}

export interface Fragment {
  readonly identification: number;
  /** In units of 8 bytes. */
  readonly offset: number;
  readonly hasMore: boolean;
}

export function ethernet(to: Mac, from: Mac, etherType: number, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(to + from, "hex"), u16(etherType), payload]);
}

export function ipPacket(fields: IpFields, payload: Uint8Array): Buffer {
  return isV4(fields.source) ? ipv4(fields, payload) : ipv6(fields, payload);
}

function ipv4(fields: IpFields, payload: Uint8Array): Buffer {
  const { fragment, source, destination } = fields;
  const options = Buffer.from(fields.hasOptions ? [1, 1, 1, 0] : []); // No operation, end.
  const flags =
    (fields.dontFragment ? 0x4000 : 0) | (fragment?.hasMore ? 0x2000 : 0) | (fragment?.offset ?? 0);
  const header = Buffer.concat([
    Buffer.from([0x45 + options.length / 4, 0]),
    u16(20 + options.length + payload.length),
    u16(fragment?.identification ?? 0),
    u16(flags),
    Buffer.from([fields.ttl, fields.protocol, 0, 0]),
    Buffer.from(source + destination, "hex"),
    options,
  ]);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

function ipv6(fields: IpFields, payload: Uint8Array): Buffer {
  const { fragment, source, destination } = fields;
  const extensions: Buffer[] = [];
  let next = fields.protocol;
  if (fragment !== null) {
    const place = (fragment.offset << 3) | (fragment.hasMore ? 1 : 0);
    extensions.unshift(
      Buffer.concat([Buffer.from([next, 0]), u16(place), u32(fragment.identification)]),
    );
    next = 44;
  }
  if (fields.hasOptions) {
    extensions.unshift(Buffer.from([next, 0, 1, 4, 0, 0, 0, 0])); // Destination options: padding.
    next = 60;
  }
  const body = Buffer.concat([...extensions, payload]);
  const start = [Buffer.from([0x60, 0, 0, 0]), u16(body.length), Buffer.from([next, fields.ttl])];
  return Buffer.concat([...start, Buffer.from(source + destination, "hex"), body]);
}

/** A message whose checksum field, at byte `at`, is still 0. */
function summed(
  message: Buffer,
  at: number,
  source: Ip,
  destination: Ip,
  protocol: number,
): Buffer {
  const addresses = Buffer.from(source + destination, "hex");
  const pseudo = Buffer.concat([addresses, u32(message.length), u32(protocol)]);
  const hasPseudo = protocol !== ICMP;
  const sum = hasPseudo ? checksum(pseudo, message) : checksum(message);
  message.writeUInt16BE(protocol === UDP && sum === 0 ? 0xffff : sum, at);
  return message;
}

export interface Ends {
  readonly source: Ip;
  readonly destination: Ip;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export function udp(ends: Ends, payload: Uint8Array): Buffer {
  const header = [u16(ends.sourcePort), u16(ends.destinationPort), u16(8 + payload.length), u16(0)];
  return summed(Buffer.concat([...header, payload]), 6, ends.source, ends.destination, UDP);
}

export interface TcpFields {
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledgment: number;
  readonly window: number;
  /** The shift of a window scale option, null for none. */
  readonly scale: number | null;
}

export function tcp(ends: Ends, fields: TcpFields, payload: Uint8Array): Buffer {
  const options = Buffer.from(fields.scale === null ? [] : [1, 3, 3, fields.scale]);
  const header = Buffer.concat([
    ...[u16(ends.sourcePort), u16(ends.destinationPort)],
    ...[u32(fields.sequence), u32(fields.acknowledgment)],
    ...[Buffer.from([0x50 + options.length * 4, fields.flags]), u16(fields.window)],
    ...[u16(0), u16(0), options],
  ]);
  return summed(Buffer.concat([header, payload]), 16, ends.source, ends.destination, TCP);
}

/** ICMP or ICMPv6; `rest` is the second word of the header. */
export function icmp(
  source: Ip,
  destination: Ip,
  type: number,
  code: number,
  rest: number,
  payload: Uint8Array,
): Buffer {
  const message = Buffer.concat([Buffer.from([type, code, 0, 0]), u32(rest), payload]);
  return summed(message, 2, source, destination, isV4(source) ? ICMP : ICMPV6);
}

export function arp(operation: number, senderMac: Mac, senderIp: Ip, targetIp: Ip): Buffer {
  const kind = Buffer.from("000108000604", "hex");
  const sender = Buffer.from(senderMac + senderIp, "hex");
  const target = Buffer.from(`${"0".repeat(12)}${targetIp}`, "hex");
  return Buffer.concat([kind, u16(operation), sender, target]);
}
