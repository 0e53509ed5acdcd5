/** The sockets of the tunnel, as both of its directions open them (udp(7), ip(7), ipv6(7)). */
import { isIpv4, parseAddress } from "@rhone/wire/address";
import { check, libc } from "./native.ts";
import { allocate } from "./native-memory.ts";
import { openSocket, setBufferSizes, setOption } from "./socket-option.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0x800;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SEND_SIZE = 8 * 1024 * 1024;
/** Bytes that may wait in a socket that receives. */
export const RECEIVE_SIZE = 8 * 1024 * 1024;
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const PMTUDISC_DO = 2; // Set DF, refuse what is larger.
const NAME_SIZE = 28; // struct sockaddr_in6, the larger one

export const SOL_UDP = 17;
/** Of the source ports that flows leave by: RFC 6335, the dynamic ports. */
export const SOURCE_PORT_FIRST = 49152;
/**
 * Source ports that a worker sends from unless told otherwise; each has a socket of its own. A
 * batch leaves in as many calls as it has ports, and so many paths or queues can be used.
 */
export const SOURCE_PORTS_DEFAULT = 16;

const bindName = allocate(NAME_SIZE);

/** A tunnel address. */
export interface Endpoint {
  readonly text: string;
  readonly isIpv4: boolean;
  /** In its 128-bit form. */
  readonly words: Int32Array;
}

/** Throws when the text is no IP address. */
export function parseEndpoint(text: string): Endpoint {
  const address = parseAddress(text);
  if (address === null) throw new Error(`expected an IP address, got "${text}"`);
  return { text, isIpv4: isIpv4(address), words: Int32Array.from(address) };
}

/**
 * Opens a socket at one of this machine's addresses; `receiveSize` bytes may wait in it. Throws
 * when the machine does not have the address or the port is taken.
 */
export function openTunnelSocket(endpoint: Endpoint, port: number, receiveSize: number): number {
  const family = endpoint.isIpv4 ? AF_INET : AF_INET6;
  const what = `the tunnel at ${endpoint.text}, UDP port ${port}`;
  const socket = openSocket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0, what);
  try {
    setOption(socket, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    setOption(socket, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
    setBufferSizes(socket, SEND_SIZE, receiveSize);
    const level = endpoint.isIpv4 ? IPPROTO_IP : IPPROTO_IPV6;
    const option = endpoint.isIpv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER;
    setOption(socket, level, option, PMTUDISC_DO, "MTU_DISCOVER");
    const size = writeName(bindName.view, 0, endpoint.isIpv4, endpoint.words, 0, port);
    check(libc.bind(socket, bindName.address, size), `bind ${what}`);
    return socket;
  } catch (error) {
    libc.close(socket);
    throw error;
  }
}

/**
 * The sockets at which a chassis receives, all at the same address and port. The kernel spreads
 * flows over them, and spreads them anew whenever there is one more or less: so that none overtakes
 * itself, their number stays while the chassis runs, whoever receives from them.
 */
export function openTunnelSockets(address: string, port: number, count: number): number[] {
  const endpoint = parseEndpoint(address);
  const sockets: number[] = [];
  try {
    for (let i = 0; i < count; i++) sockets.push(openTunnelSocket(endpoint, port, RECEIVE_SIZE));
    return sockets;
  } catch (error) {
    closeTunnelSockets(sockets);
    throw error;
  }
}

export function closeTunnelSockets(sockets: Iterable<number>): void {
  for (const socket of sockets) if (socket >= 0) libc.close(socket);
}

/** Writes the socket address of four words from `first` on; returns its size. */
export function writeName(
  target: DataView,
  at: number,
  isIpv4: boolean,
  words: Int32Array,
  first: number,
  port: number,
): number {
  target.setUint16(at + 2, port);
  if (isIpv4) {
    target.setUint16(at, AF_INET, true);
    target.setInt32(at + 4, words[first + 3]!);
    return 16;
  }
  target.setUint16(at, AF_INET6, true);
  target.setInt32(at + 4, 0); // flow label
  for (let i = 0; i < 4; i++) target.setInt32(at + 8 + i * 4, words[first + i]!);
  return NAME_SIZE;
}

/** Word `k` of the 128-bit form of the address in a socket address. */
export function nameWord(name: DataView, at: number, isIpv4: boolean, k: number): number {
  if (!isIpv4) return name.getInt32(at + 8 + k * 4);
  if (k === 3) return name.getInt32(at + 4);
  return k === 2 ? 0xffff : 0;
}
