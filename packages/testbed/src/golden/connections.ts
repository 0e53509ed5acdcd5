/**
 * Stages 1, 5, 10 and 13: the connections of the logical ports. Each port has its own, kept at the
 * chassis that has the port. The look-up says what a packet is, the commit changes what is known.
 */
import { hexAt, type Ip, isGroupMac, isMulticastOrAbove, isV4, UNSPECIFIED_V6 } from "./bytes.ts";
import { headersOf, ICMP, ICMPV6, type IpHeader, readExtensions, TCP, UDP } from "./headers.ts";
import type { End } from "./load-balancing.ts";
import * as tcp from "./tcp.ts";

export interface Tuple {
  readonly protocol: number;
  readonly source: Ip;
  readonly destination: Ip;
  /** Of ICMP echo both are the identifier; 0 where there are none. */
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export interface Connection {
  /** Of the packet that began it. */
  readonly tuple: Tuple;
  isReplySeen: boolean;
  isBlocked: boolean;
  /** An answer began it, and who must have asked has not been heard since. */
  isPickedUp: boolean;
  expiresMs: number;
  /** null: not TCP. */
  readonly tcp: tcp.TcpConnection | null;
  /** Where its packets go in truth, or where answers to them are to come from; null: neither. */
  translation: { readonly isReverse: boolean; readonly end: End } | null;
}

/** What a packet is to the connections of a port; null when it is not tracked. */
export interface Finding {
  /** This and `isReply` change when rules say that it is an answer. */
  kind: "new" | "established" | "related" | "invalid";
  isReply: boolean;
  /** Perhaps of a connection that its port's chassis has forgotten. */
  readonly isForgotten: boolean;
  readonly connection: Connection | null;
  /** The connection with its addresses and ports, also when the packet does not fit to it. */
  readonly found: Connection | null;
  /** Whether it runs against that. */
  readonly isBack: boolean;
}

const NOTHING = {
  ...{ isReply: false, isForgotten: false, connection: null, found: null, isBack: false },
};
const SECOND = 1000;
const PICKED_UP_SECONDS = 30;
const FORGOTTEN_SECONDS = 30;
const TCP_SECONDS: { readonly [state in tcp.TcpState]: number } = {
  ...{ new: 30, "syn-sent": 30, "both-syn-sent": 30, "syn-received": 30, established: 86_400 },
  ...{ "fin-wait": 900, "close-wait": 900, "last-ack": 30, "time-wait": 45, closed: 10 },
};
const ICMP_ERRORS: readonly number[] = [3, 4, 5, 11, 12]; // RFC 1122 §3.2.2
const ICMP_REQUESTS: readonly number[] = [8, 13, 15, 17];
const ECHO: readonly number[] = [0, 8];
const ECHO_V6: readonly number[] = [128, 129];
const ECHO_REPLY_V6 = 129;

/** Unicast IP, but for what keeps a link alive: neighbour and router discovery, MLD. */
export function isTracked(bytes: Buffer): boolean {
  const { destination, ip } = headersOf(bytes);
  if (ip === null || isGroupMac(destination)) return false;
  if (isMulticastOrAbove(ip.source) || isMulticastOrAbove(ip.destination)) return false;
  if (isV4(ip.source)) return !ip.source.startsWith("00") && !ip.destination.startsWith("00");
  if (ip.source === UNSPECIFIED_V6 || ip.destination === UNSPECIFIED_V6) return false;
  return !isDiscovery(bytes, ip);
}

/** Neighbour and router discovery (RFC 4861) and MLD (RFC 2710, RFC 3810). */
export function isDiscovery(bytes: Buffer, ip: IpHeader): boolean {
  if (isV4(ip.source) || ip.protocol !== ICMPV6 || ip.transportAt === null) return false;
  const type = bytes[ip.transportAt]!;
  return (type >= 130 && type <= 137) || type === 143;
}

/** The tuple of a packet; `ports` is what a later fragment's first one told. */
export function tupleOf(bytes: Buffer, ports: readonly [number, number] | null): Tuple {
  const ip = headersOf(bytes).ip!;
  const [sourcePort, destinationPort] = ports ?? portsOf(bytes, ip);
  const { protocol, source, destination } = ip;
  return { protocol, source, destination, sourcePort, destinationPort };
}

/** Of the first fragment or the whole packet. */
export function portsOf(bytes: Buffer, ip: IpHeader): [number, number] {
  return portsAt(bytes, ip.transportAt!, ip.protocol, isV4(ip.source));
}

function portsAt(bytes: Buffer, at: number, protocol: number, isIpv4: boolean): [number, number] {
  if (protocol === TCP || protocol === UDP) {
    return [bytes.readUInt16BE(at), bytes.readUInt16BE(at + 2)];
  }
  const echo = isIpv4 ? ECHO : ECHO_V6;
  if (protocol !== (isIpv4 ? ICMP : ICMPV6) || !echo.includes(bytes[at]!)) return [0, 0];
  const identifier = bytes.readUInt16BE(at + 4);
  return [identifier, identifier];
}

function isIcmpError(bytes: Buffer, { source, protocol, transportAt }: IpHeader): boolean {
  if (transportAt === null) return false;
  const type = bytes[transportAt]!;
  if (isV4(source)) return protocol === ICMP && ICMP_ERRORS.includes(type);
  return protocol === ICMPV6 && type < 128; // RFC 4443 §2.1
}

export class Connections {
  readonly #byPort = new Map<string, Connection[]>();
  readonly #forgottenAtMs = new Map<string, number>();

  /** All of a port are gone, and for a while what looks like part of one may be. */
  forget(port: string, nowMs: number): void {
    this.#byPort.delete(port);
    this.#forgottenAtMs.set(port, nowMs);
  }

  #mayBeForgotten(port: string, nowMs: number): boolean {
    const atMs = this.#forgottenAtMs.get(port);
    return atMs !== undefined && nowMs - atMs <= FORGOTTEN_SECONDS * SECOND;
  }

  /** Those of a port that have not run out. */
  of(port: string, nowMs: number): readonly Connection[] {
    return (this.#byPort.get(port) ?? []).filter(({ expiresMs }) => expiresMs >= nowMs);
  }

  #find(port: string, tuple: Tuple, nowMs: number): Connection | undefined {
    return this.of(port, nowMs).find((each) => isSame(each.tuple, tuple) || isReply(each, tuple));
  }

  lookUp(port: string, bytes: Buffer, tuple: Tuple, nowMs: number): Finding {
    const ip = headersOf(bytes).ip!;
    if (isIcmpError(bytes, ip)) return this.#lookUpError(port, bytes, nowMs);
    const connection = this.#find(port, tuple, nowMs);
    const segment = segmentOf(bytes, ip);
    if (connection === undefined) {
      const isForgotten =
        segment !== null && tcp.isUnderWay(segment) && this.#mayBeForgotten(port, nowMs);
      const kind = isForgotten || mayBegin(bytes, ip, segment) ? "new" : "invalid";
      return { ...NOTHING, kind, isForgotten };
    }
    const isBack = isReply(connection, tuple);
    const verdict = segment === null ? "valid" : tcp.judge(connection.tcp!, segment, isBack);
    if (verdict !== "valid") {
      const kind = verdict === "reopens" ? "new" : "invalid";
      return { ...NOTHING, kind, found: connection, isBack };
    }
    const kind = isBack || connection.isReplySeen ? "established" : "new";
    return { ...NOTHING, kind, isReply: isBack, connection, found: connection, isBack };
  }

  /** An error about a packet of a connection is related to it, and runs against that packet. */
  #lookUpError(port: string, bytes: Buffer, nowMs: number): Finding {
    const quoted = quotedTuple(bytes);
    const connection = quoted === null ? undefined : this.#find(port, quoted, nowMs);
    if (connection === undefined) return { ...NOTHING, kind: "invalid" };
    const isBack = !isReply(connection, quoted!);
    const kind = "related";
    return { ...NOTHING, kind, isReply: isBack, connection, found: connection, isBack };
  }

  /**
   * For what the look-up called new or established and the rules let pass. null when it does not
   * fit to its connection: of a translated packet the other one, by which it was not looked up.
   * `isAnswer`: whether it was called a reply.
   */
  commit(
    port: string,
    bytes: Buffer,
    { tuple, isAnswer }: { readonly tuple: Tuple; readonly isAnswer: boolean },
    nowMs: number,
  ): Connection | null {
    const ip = headersOf(bytes).ip!;
    const segment = segmentOf(bytes, ip);
    let connection = this.#find(port, tuple, nowMs);
    if (connection !== undefined && segment !== null) {
      const isBack = isReply(connection, tuple);
      const verdict = tcp.judge(connection.tcp!, segment, isBack);
      if (verdict === "invalid") return null;
      if (verdict === "reopens") {
        this.#remove(port, connection);
        connection = undefined;
      }
    }
    connection ??= this.#begin(port, { tuple, isAnswer }, segment, nowMs);
    const isBack = isReply(connection, tuple);
    const isBeginnerHeard = !isBack && segment !== null && tcp.isUnderWay(segment);
    if (connection.isPickedUp && isBeginnerHeard) {
      connection.isPickedUp = false;
      connection.isReplySeen = true;
    }
    if (!isBack) connection.isBlocked = false;
    else if (!connection.isPickedUp) connection.isReplySeen = true;
    if (segment !== null) tcp.take(connection.tcp!, segment, isBack);
    if (connection.isPickedUp) return connection;
    // A later fragment of TCP says nothing about the connection's state.
    if (ip.protocol === TCP && segment === null) return connection;
    connection.expiresMs = nowMs + lifetimeSeconds(connection) * SECOND;
    return connection;
  }

  #begin(
    port: string,
    { tuple, isAnswer }: { readonly tuple: Tuple; readonly isAnswer: boolean },
    segment: tcp.Segment | null,
    nowMs: number,
  ): Connection {
    const isUnderWay = segment !== null && tcp.isUnderWay(segment);
    const isPickedUp = isUnderWay && isAnswer;
    const connection: Connection = {
      ...{ tuple: isPickedUp ? reversed(tuple) : tuple, isReplySeen: false, isBlocked: false },
      ...{ isPickedUp, expiresMs: isUnderWay ? nowMs + PICKED_UP_SECONDS * SECOND : nowMs },
      tcp: tuple.protocol === TCP ? tcp.newTcp() : null,
      translation: null,
    };
    if (isUnderWay) connection.tcp!.state = "established";
    this.#byPort.set(port, [...this.of(port, nowMs), connection]);
    return connection;
  }

  #remove(port: string, connection: Connection): void {
    const left = this.#byPort.get(port)!.filter((each) => each !== connection);
    this.#byPort.set(port, left);
  }
}

export function isSame(a: Tuple, b: Tuple): boolean {
  return (
    a.protocol === b.protocol &&
    a.source === b.source &&
    a.destination === b.destination &&
    a.sourcePort === b.sourcePort &&
    a.destinationPort === b.destinationPort
  );
}

/** Whether a packet with this tuple runs against the connection's first one. */
function isReply({ tuple }: Connection, packet: Tuple): boolean {
  return !isSame(tuple, packet) && isSame(tuple, reversed(packet));
}

/** Of the packets that answer. */
export function reversed(tuple: Tuple): Tuple {
  const { source, destination, sourcePort, destinationPort } = tuple;
  const ends = { source: destination, destination: source };
  return { ...tuple, ...ends, sourcePort: destinationPort, destinationPort: sourcePort };
}

function segmentOf(bytes: Buffer, ip: IpHeader): tcp.Segment | null {
  return ip.protocol === TCP && ip.transportAt !== null ? tcp.readSegment(bytes, ip) : null;
}

/** Answers begin nothing, nor do segments from the middle of nowhere. */
function mayBegin(bytes: Buffer, ip: IpHeader, segment: tcp.Segment | null): boolean {
  if (segment !== null) return tcp.mayBegin(segment);
  if (ip.transportAt === null) return true;
  const type = bytes[ip.transportAt]!;
  if (isV4(ip.source)) return ip.protocol !== ICMP || ICMP_REQUESTS.includes(type);
  return ip.protocol !== ICMPV6 || type !== ECHO_REPLY_V6;
}

function lifetimeSeconds({ tuple, tcp: tcpConnection, isReplySeen }: Connection): number {
  if (tcpConnection !== null) return TCP_SECONDS[tcpConnection.state];
  if (tuple.protocol === UDP) return isReplySeen ? 120 : 60;
  const icmp = isV4(tuple.source) ? ICMP : ICMPV6;
  return tuple.protocol === icmp ? 30 : 60;
}

/** The tuple of the packet that an ICMP error quotes; null when it quotes too little of it. */
function quotedTuple(bytes: Buffer): Tuple | null {
  const headers = headersOf(bytes);
  const { transportAt, end, isFragment, source } = headers.ip!;
  // An error is short: one in fragments is no router's.
  if (isFragment) return null;
  const quotation = bytes.subarray(transportAt! + 8, end);
  const quoted = isV4(source) ? quotedV4(quotation) : quotedV6(quotation);
  if (quoted === null) return null;
  const { protocol, at } = quoted;
  const isIcmp = protocol === (isV4(source) ? ICMP : ICMPV6);
  const needed = isIcmp ? 8 : protocol === TCP || protocol === UDP ? 4 : 0;
  if (quotation.length < at + needed) return null;
  // Of ICMP only echo has anything to be found by.
  const echo = isV4(source) ? ECHO : ECHO_V6;
  if (isIcmp && !echo.includes(quotation[at]!)) return null;
  const [sourcePort, destinationPort] = portsAt(quotation, at, protocol, isV4(source));
  const size = isV4(source) ? 4 : 16;
  const addressAt = isV4(source) ? 12 : 8;
  return {
    ...{ protocol, sourcePort, destinationPort },
    source: hexAt(quotation, addressAt, size),
    destination: hexAt(quotation, addressAt + size, size),
  };
}

interface Quoted {
  readonly protocol: number;
  readonly at: number;
}

/** The quotation is cut off, so its length field says more than there is. */
function quotedV4(quotation: Buffer): Quoted | null {
  if (quotation.length < 20 || quotation[0]! >>> 4 !== 4) return null;
  const at = (quotation[0]! & 0x0f) * 4;
  const isLaterFragment = (quotation.readUInt16BE(6) & 0x1fff) !== 0;
  return at < 20 || isLaterFragment ? null : { protocol: quotation[9]!, at };
}

function quotedV6(quotation: Buffer): Quoted | null {
  if (quotation.length < 40 || quotation[0]! >>> 4 !== 6) return null;
  const chain = readExtensions(quotation, 40, quotation.length, quotation[6]!);
  if (chain === null || chain.transportAt === null) return null;
  return { protocol: chain.protocol, at: chain.transportAt };
}
