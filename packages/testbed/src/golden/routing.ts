/**
 * Stage 7: the way through every router between source and destination, in one go. Each does what
 * RFC 1812 §5.2.1 says in that order: source, own addresses, TTL, route, next hop, forwarding.
 */
import type { DropReasonName } from "@rhone/rings/drop-reason";
import {
  changedChecksum,
  checksum,
  hexAt,
  type Ip,
  isHost,
  isLinkLocal,
  isV4,
  putHex,
} from "./bytes.ts";
import { headersOf, ICMP, ICMPV6, type IpHeader } from "./headers.ts";
import { type ErrorKind, errorAbout } from "./icmp-error.ts";
import { type GoldenNetwork, type GoldenPort, ownAddress } from "./network.ts";

/** Routers that a packet may pass in one go. */
const ROUTERS_MAX = 8;
const REPLY_TTL = 64;

/** A packet between two ports of one switch. */
export interface Hop {
  readonly bytes: Buffer;
  readonly inPort: GoldenPort;
  readonly outPort: GoldenPort;
  /** An answer that was made here: it may leave by the port that the question came in by. */
  readonly isAnswer: boolean;
}

export interface Routed {
  /** The packet as it stands in its last switch; null when it ended. */
  readonly hop: Hop | null;
  /** Why packets ended on the way: the packet itself, perhaps the error about it as well. */
  readonly drops: readonly DropReasonName[];
}

export function route(network: GoldenNetwork, first: Hop): Routed {
  const drops: DropReasonName[] = [];
  let hop = first;
  for (let passed = 0; hop.outPort.router !== null; passed++) {
    if (passed === ROUTERS_MAX) return { hop: null, drops: [...drops, "router-loop"] };
    const result = passRouter(network, hop);
    if (result.drop !== null) drops.push(result.drop);
    if (result.hop === null) return { hop: null, drops };
    hop = result.hop;
  }
  return { hop, drops };
}

interface Passed {
  readonly hop: Hop | null;
  readonly drop: DropReasonName | null;
}

const ended = (drop: DropReasonName): Passed => ({ hop: null, drop });

function passRouter(network: GoldenNetwork, hop: Hop): Passed {
  const { bytes, outPort: entry } = hop;
  const router = entry.router!;
  const { ip } = headersOf(bytes);
  if (ip === null) return ended("router-not-addressed");
  if (!isHost(ip.source) || network.isAddressOfRouter(router, ip.source)) {
    return ended("router-source-invalid");
  }
  if (!isHost(ip.destination)) return ended("router-multicast");
  if (network.isAddressOfRouter(router, ip.destination)) return answerEcho(hop, ip);
  // Link-local packets stay on their link (RFC 4291 §2.5.6).
  if (isLinkLocal(ip.source)) return ended("router-source-invalid");
  if (isLinkLocal(ip.destination)) return ended("no-route");
  if (ip.ttl <= 1) return reject(hop, "time-exceeded", "ttl-exceeded");
  const found = network.route(router, ip.destination);
  if (found === undefined) return reject(hop, "no-route", "no-route");
  const nextHop: Ip = found.nextHop ?? ip.destination;
  const neighbour = network.byAddress(found.outPort.switch, nextHop);
  if (neighbour === undefined) return reject(hop, "host-unreachable", "next-hop-unknown");
  const forwarded = forward(bytes, found.outPort, neighbour);
  const next = { bytes: forwarded, inPort: found.outPort, outPort: neighbour, isAnswer: false };
  return { hop: next, drop: null };
}

function forward(bytes: Buffer, from: GoldenPort, to: GoldenPort): Buffer {
  const forwarded = Buffer.from(bytes);
  putHex(forwarded, 0, to.mac + from.mac);
  const { l3At, ip } = headersOf(bytes);
  if (isV4(ip!.source)) setTtl(forwarded, l3At, ip!.ttl - 1);
  else forwarded[l3At + 7] = ip!.ttl - 1;
  return forwarded;
}

function setTtl(bytes: Buffer, l3At: number, ttl: number): void {
  const before = bytes.readUInt16BE(l3At + 8);
  bytes[l3At + 8] = ttl;
  const sum = changedChecksum(bytes.readUInt16BE(l3At + 10), before, bytes.readUInt16BE(l3At + 8));
  bytes.writeUInt16BE(sum, l3At + 10);
}

/** The error about the packet, back through the port that it entered by. */
function reject({ bytes, inPort, outPort }: Hop, kind: ErrorKind, drop: DropReasonName): Passed {
  const from = ownAddress(outPort, isV4(headersOf(bytes).ip!.source));
  const error = from === undefined ? null : errorAbout(bytes, kind, from);
  if (error === null) return ended(drop);
  putHex(error, 6, outPort.mac);
  return { hop: { bytes: error, inPort: outPort, outPort: inPort, isAnswer: true }, drop };
}

/** An echo request for the router itself (RFC 1122 §3.2.2.6, RFC 4443 §4.2); it serves no more. */
function answerEcho({ bytes, inPort, outPort }: Hop, ip: IpHeader): Passed {
  const at = ip.transportAt;
  const request = isV4(ip.source) ? 8 : 128;
  const protocol = isV4(ip.source) ? ICMP : ICMPV6;
  const isEcho = ip.protocol === protocol && at !== null && bytes[at] === request;
  // The parts of a fragmented request are not put together here.
  if (!isEcho || ip.isFragment) return ended("router-own-address");
  const reply = Buffer.from(bytes);
  const { source, l3At } = headersOf(bytes);
  putHex(reply, 0, source + outPort.mac);
  const before = bytes.readUInt16BE(at);
  reply[at] = isV4(ip.source) ? 0 : 129;
  const sum = changedChecksum(bytes.readUInt16BE(at + 2), before, reply.readUInt16BE(at));
  reply.writeUInt16BE(sum, at + 2);
  if (isV4(ip.source)) {
    putHex(reply, l3At + 12, hexAt(bytes, l3At + 16, 4) + hexAt(bytes, l3At + 12, 4));
    reply[l3At + 8] = REPLY_TTL;
    reply.writeUInt16BE(0, l3At + 10);
    const header = reply.subarray(l3At, l3At + (reply[l3At]! & 0x0f) * 4);
    reply.writeUInt16BE(checksum(header), l3At + 10);
  } else {
    putHex(reply, l3At + 8, hexAt(bytes, l3At + 24, 16) + hexAt(bytes, l3At + 8, 16));
    reply[l3At + 7] = REPLY_TTL;
  }
  return { hop: { bytes: reply, inPort: outPort, outPort: inPort, isAnswer: true }, drop: null };
}
