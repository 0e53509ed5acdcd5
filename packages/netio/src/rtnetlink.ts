/**
 * What the kernel knows of the way to an address: devices, routes, neighbours (rtnetlink(7),
 * linux/if_addr.h, if_link.h, rtnetlink.h, neighbour.h). Run by the control thread.
 */
import { type Address, isIpv4 } from "@rhone/wire/address";
import { Netlink } from "./netlink.ts";

const AF_INET = 2;
const AF_INET6 = 10;

const GET_LINK = 18;
const LINK_SIZE = 16; // struct ifinfomsg
const LINK_ADDRESS = 1;
const LINK_NAME = 3;
const LINK_MTU = 4;
const ARPHRD_ETHER = 1;

const GET_ADDRESS = 22;
const ADDRESS_SIZE = 8; // struct ifaddrmsg
const ADDRESS_ADDRESS = 1;
const ADDRESS_LOCAL = 2;

const GET_ROUTE = 26;
const ROUTE_SIZE = 12; // struct rtmsg
const ROUTE_DESTINATION = 1;
const ROUTE_SOURCE = 2;
const ROUTE_DEVICE = 4;
const ROUTE_GATEWAY = 5;
const ROUTE_METRICS = 8;
const ROUTE_VIA = 18;
const ROUTE_ENCAPSULATION = 22;
const ROUTE_UNICAST = 1;
const METRIC_MTU = 2;

const NEW_NEIGHBOUR = 28;
const GET_NEIGHBOUR = 30;
const NEIGHBOUR_SIZE = 12; // struct ndmsg
const NEIGHBOUR_ADDRESS = 1;
const NEIGHBOUR_MAC = 2;
const NEIGHBOUR_USE = 1; // NTF_USE
const STALE = 4;
/** Reachable, stale, delay, probe, no ARP, permanent: the kernel itself sends to such a one. */
const USABLE = 0x02 | STALE | 0x08 | 0x10 | 0x40 | 0x80;
const MAC_SIZE = 6;

/** Of links, neighbours, addresses and routes. */
const GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400;

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  /** Six bytes; null when its frames are not those of Ethernet. */
  readonly mac: Uint8Array | null;
}

/** The way to an address: its next hop is the gateway, or the address itself. */
export interface Route {
  readonly device: number;
  readonly gateway: Address | null;
  /** Of the path, 0 when it is the device's. */
  readonly mtu: number;
}

export interface Neighbour {
  readonly mac: Uint8Array;
  /** Nothing was heard of it for a while: who uses it should have it confirmed. */
  readonly isStale: boolean;
}

export class RouteTable {
  readonly #netlink = new Netlink();
  readonly #changes = new Netlink(GROUPS);

  /** The device that has an address of this machine; null when none has. */
  deviceOf(address: Address): number | null {
    const body = new Uint8Array(ADDRESS_SIZE);
    body[0] = familyOf(address);
    for (const answer of this.#netlink.list({ type: GET_ADDRESS, body }, ADDRESS_SIZE)) {
      const { attributes } = answer;
      const found = attributes.get(ADDRESS_LOCAL) ?? attributes.get(ADDRESS_ADDRESS);
      if (found === undefined || !isSame(bytesOf(address), found)) continue;
      return answer.body.getUint32(4, true);
    }
    return null;
  }

  /** null when the device is gone. */
  link(index: number): Link | null {
    const body = new DataView(new ArrayBuffer(LINK_SIZE));
    body.setInt32(4, index, true);
    const question = { type: GET_LINK, body: new Uint8Array(body.buffer) };
    const answer = this.#netlink.ask(question, LINK_SIZE);
    const name = answer?.attributes.get(LINK_NAME);
    const mtu = answer?.attributes.get(LINK_MTU);
    if (answer == null || name === undefined || mtu === undefined) return null;
    const mac = answer.attributes.get(LINK_ADDRESS);
    const isEthernet =
      answer.body.getUint16(2, true) === ARPHRD_ETHER && mac?.byteLength === MAC_SIZE;
    const text = new TextDecoder().decode(new Uint8Array(name.buffer)).replace(/\0.*$/, "");
    return {
      ...{ index, name: text, mtu: mtu.getUint32(0, true) },
      mac: isEthernet ? new Uint8Array(mac.buffer) : null,
    };
  }

  /** The way that the kernel would take from one address to another; null when it has none. */
  route(source: Address, destination: Address): Route | null {
    const body = new Uint8Array(ROUTE_SIZE);
    const to = bytesOf(destination);
    body[0] = familyOf(destination);
    body[1] = to.length * 8;
    body[2] = to.length * 8;
    const attributes = [
      [ROUTE_DESTINATION, to],
      [ROUTE_SOURCE, bytesOf(source)],
    ] as const;
    const answer = this.#netlink.ask({ type: GET_ROUTE, body, attributes }, ROUTE_SIZE);
    if (answer === null || answer.body.getUint8(7) !== ROUTE_UNICAST) return null;
    const device = answer.attributes.get(ROUTE_DEVICE);
    // A next hop of another family, or a tunnel of the kernel's: only it can send there.
    const { attributes: found } = answer;
    const isOther = found.has(ROUTE_VIA) || found.has(ROUTE_ENCAPSULATION);
    if (device === undefined || isOther) return null;
    const gateway = found.get(ROUTE_GATEWAY);
    return {
      device: device.getUint32(0, true),
      gateway: gateway === undefined ? null : addressOf(gateway),
      mtu: metricMtu(answer.attributes.get(ROUTE_METRICS)),
    };
  }

  /** A next hop's MAC address; null when the kernel does not know it. */
  neighbour(device: number, address: Address): Neighbour | null {
    const answer = this.#netlink.ask(
      neighbourQuestion(GET_NEIGHBOUR, device, address, 0),
      NEIGHBOUR_SIZE,
    );
    const mac = answer?.attributes.get(NEIGHBOUR_MAC);
    if (answer == null || mac?.byteLength !== MAC_SIZE) return null;
    const state = answer.body.getUint16(8, true);
    if ((state & USABLE) === 0) return null;
    return { mac: new Uint8Array(mac.buffer), isStale: (state & STALE) !== 0 };
  }

  /** Tells the kernel that a neighbour is in use: a stale one is asked whether it is there. */
  use(device: number, address: Address): void {
    this.#netlink.tell(neighbourQuestion(NEW_NEIGHBOUR, device, address, NEIGHBOUR_USE));
  }

  /** Whether anything has changed since the last time. */
  hasChanged(): boolean {
    return this.#changes.drain();
  }

  close(): void {
    this.#netlink.close();
    this.#changes.close();
  }
}

function neighbourQuestion(type: number, device: number, address: Address, flags: number) {
  const body = new DataView(new ArrayBuffer(NEIGHBOUR_SIZE));
  body.setUint8(0, familyOf(address));
  body.setInt32(4, device, true);
  body.setUint8(10, flags);
  const attributes = [[NEIGHBOUR_ADDRESS, bytesOf(address)]] as const;
  return { type, body: new Uint8Array(body.buffer), attributes };
}

/** Of the nested attributes of a route's metrics. */
function metricMtu(metrics: DataView | undefined): number {
  if (metrics === undefined) return 0;
  for (let at = 0; at + 8 <= metrics.byteLength; ) {
    const length = metrics.getUint16(at, true);
    if (metrics.getUint16(at + 2, true) === METRIC_MTU) return metrics.getUint32(at + 4, true);
    at += Math.max(4, (length + 3) & ~3);
  }
  return 0;
}

function familyOf(address: Address): number {
  return isIpv4(address) ? AF_INET : AF_INET6;
}

/** As the kernel has them: 4 or 16, in network order. */
function bytesOf(address: Address): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  for (const [i, word] of address.entries()) view.setInt32(i * 4, word);
  return new Uint8Array(view.buffer, isIpv4(address) ? 12 : 0);
}

function addressOf(bytes: DataView): Address {
  if (bytes.byteLength === 4) return [0, 0, 0xffff, bytes.getInt32(0)];
  return [bytes.getInt32(0), bytes.getInt32(4), bytes.getInt32(8), bytes.getInt32(12)];
}

function isSame(bytes: Uint8Array, view: DataView): boolean {
  return bytes.length === view.byteLength && bytes.every((byte, i) => byte === view.getUint8(i));
}
