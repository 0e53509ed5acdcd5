/**
 * Logical ports: every port of every switch that this chassis knows, and what the stages ask of
 * one.
 *
 *   word  0   datapath      row of the switch that the port belongs to
 *   word  1   key           number of the port within the switch, 1–32767, as on the wire
 *   word  2   kind          KIND_VIF, KIND_ROUTER or KIND_LOAD_BALANCER
 *   word  3   location      LOCATED_HERE, LOCATED_NOWHERE or the row of the chassis's endpoint
 *   word  4   device        index of the device, -1 if it is not here
 *   word  5   macHigh       first four bytes of the MAC address
 *   word  6   macLow        last two bytes
 *   word  7   flags         FLAG_SECURED: source addresses are checked; the bits of STANDBY_…
 *   word  8   addressAt     first of the port's addresses in the address rows
 *   word  9   addressCount
 *   word 10   router        KIND_ROUTER: row of the router's datapath; else -1
 *   word 11   isUp          1 when the chassis that has the port says that it forwards
 *
 * Addresses are rows of four words, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
 */
import { Rows } from "./row-table.ts";
import { Appender, sharedWords } from "./shared-words.ts";

export const KIND_VIF = 1;
export const KIND_ROUTER = 2;
/** Stands for a load balancer's addresses; no packet enters or leaves by it. */
export const KIND_LOAD_BALANCER = 3;
export const LOCATED_HERE = -1;
export const LOCATED_NOWHERE = -2;
export const FLAG_SECURED = 1;
/**
 * A device of the port is here, but another chassis has the port: nothing passes. Beside it, which
 * frames of the guest say that the port is here now.
 */
export const STANDBY = 2;
export const STANDBY_FOR_RARP = 4;
export const STANDBY_FOR_GARP = 8;
export const STANDBY_FOR_NA = 16;
/** Third word of an IPv4 address in its 128-bit form; the first two are 0. */
export const IPV4_MAPPED = 0xffff;

const ADDRESS_WIDTH = 4;
const WIDTH = 12;
const DATAPATH = 0;
const KEY = 1;
const KIND = 2;
const LOCATION = 3;
const DEVICE = 4;
const MAC_HIGH = 5;
const MAC_LOW = 6;
const FLAGS = 7;
const ADDRESS_AT = 8;
const ADDRESS_COUNT = 9;
const ROUTER = 10;
const IS_UP = 11;

/** Four 32-bit words, the most significant first. */
export type AddressWords = readonly [number, number, number, number];

export interface PortRow {
  readonly datapath: number;
  readonly key: number;
  readonly kind: number;
  readonly location: number;
  readonly device: number;
  readonly macHigh: number;
  readonly macLow: number;
  readonly isSecured: boolean;
  /** 0, or STANDBY and whichever of its bits. */
  readonly standby: number;
  readonly addresses: readonly AddressWords[];
  readonly router: number;
  readonly isUp: boolean;
}

export interface PortImages {
  readonly ports: Int32Array;
  readonly addresses: Int32Array;
}

/** The words of the port table and of the addresses that its rows point to. */
export function buildPorts(rows: readonly PortRow[]): PortImages {
  const ports = sharedWords(rows.length * WIDTH);
  const addressCount = rows.reduce((sum, row) => sum + row.addresses.length, 0);
  const addresses = sharedWords(addressCount * ADDRESS_WIDTH);
  let addressAt = 0;
  for (const [number, row] of rows.entries()) {
    writePort(ports, number, row, addressAt);
    writeAddresses(addresses, row, addressAt);
    addressAt += row.addresses.length;
  }
  return { ports, addresses };
}

/** What the port table and the addresses grow by. */
export class PortAppenders {
  readonly ports = new Appender();
  readonly addresses = new Appender();
}

/** The tables with more rows behind their last ones. */
export function appendPorts(
  before: PortImages,
  rows: readonly PortRow[],
  appenders: PortAppenders,
): PortImages {
  const addressCount = rows.reduce((sum, row) => sum + row.addresses.length, 0);
  const ports = appenders.ports.append(before.ports, rows.length * WIDTH);
  const addresses = appenders.addresses.append(before.addresses, addressCount * ADDRESS_WIDTH);
  let number = before.ports.length / WIDTH;
  let addressAt = before.addresses.length / ADDRESS_WIDTH;
  for (const row of rows) {
    writePort(ports, number++, row, addressAt);
    writeAddresses(addresses, row, addressAt);
    addressAt += row.addresses.length;
  }
  return { ports, addresses };
}

/** The tables without the rows from `count` on. */
export function cutPorts({ ports, addresses }: PortImages, count: number): PortImages {
  if (count * WIDTH === ports.length) return { ports, addresses };
  const end = ports[count * WIDTH + ADDRESS_AT]! * ADDRESS_WIDTH;
  return { ports: ports.subarray(0, count * WIDTH), addresses: addresses.subarray(0, end) };
}

/**
 * The tables with other rows in place of some, by number; null when one of them has another number
 * of addresses.
 */
export function replacePorts(
  before: PortImages,
  rows: ReadonlyMap<number, PortRow>,
  appenders: PortAppenders,
): PortImages | null {
  for (const [number, { addresses }] of rows) {
    if (addresses.length !== before.ports[number * WIDTH + ADDRESS_COUNT]) return null;
  }
  const ports = appenders.ports.copy(before.ports);
  let { addresses } = before;
  for (const [number, row] of rows) {
    const addressAt = ports[number * WIDTH + ADDRESS_AT]!;
    writePort(ports, number, row, addressAt);
    if (hasAddresses(addresses, row, addressAt)) continue;
    if (addresses === before.addresses) addresses = appenders.addresses.copy(addresses);
    writeAddresses(addresses, row, addressAt);
  }
  return { ports, addresses };
}

/** Whether the row's addresses stand there. */
function hasAddresses(addresses: Int32Array, row: PortRow, addressAt: number): boolean {
  return row.addresses.every((address, i) =>
    address.every((word, k) => addresses[(addressAt + i) * ADDRESS_WIDTH + k] === (word | 0)),
  );
}

function writeAddresses(addresses: Int32Array, row: PortRow, addressAt: number): void {
  for (const [i, address] of row.addresses.entries()) {
    addresses.set(address, (addressAt + i) * ADDRESS_WIDTH);
  }
}

function writePort(ports: Int32Array, number: number, row: PortRow, addressAt: number): void {
  const at = number * WIDTH;
  ports[at + DATAPATH] = row.datapath;
  ports[at + KEY] = row.key;
  ports[at + KIND] = row.kind;
  ports[at + LOCATION] = row.location;
  ports[at + DEVICE] = row.device;
  ports[at + MAC_HIGH] = row.macHigh;
  ports[at + MAC_LOW] = row.macLow;
  ports[at + FLAGS] = (row.isSecured ? FLAG_SECURED : 0) | row.standby;
  ports[at + ADDRESS_AT] = addressAt;
  ports[at + ADDRESS_COUNT] = row.addresses.length;
  ports[at + ROUTER] = row.router;
  ports[at + IS_UP] = row.isUp ? 1 : 0;
}

export class Ports {
  readonly #words: Int32Array;
  readonly #addresses: Rows;
  /** Rows of the table. */
  readonly count: number;

  constructor(ports: Int32Array, addresses: Int32Array) {
    this.#words = ports;
    this.count = new Rows(WIDTH, ports).count;
    this.#addresses = new Rows(ADDRESS_WIDTH, addresses);
  }

  datapath(row: number): number {
    return this.#word(row, DATAPATH);
  }

  key(row: number): number {
    return this.#word(row, KEY);
  }

  kind(row: number): number {
    return this.#word(row, KIND);
  }

  location(row: number): number {
    return this.#word(row, LOCATION);
  }

  device(row: number): number {
    return this.#word(row, DEVICE);
  }

  macHigh(row: number): number {
    return this.#word(row, MAC_HIGH);
  }

  macLow(row: number): number {
    return this.#word(row, MAC_LOW);
  }

  router(row: number): number {
    return this.#word(row, ROUTER);
  }

  isSecured(row: number): boolean {
    return (this.#word(row, FLAGS) & FLAG_SECURED) !== 0;
  }

  isStandby(row: number): boolean {
    return (this.#word(row, FLAGS) & STANDBY) !== 0;
  }

  /** Whether one of the `STANDBY_FOR_…` frames wakes the port up. */
  isAwakenedBy(row: number, frame: number): boolean {
    return (this.#word(row, FLAGS) & frame) !== 0;
  }

  isUp(row: number): boolean {
    return this.#word(row, IS_UP) === 1;
  }

  addressCount(row: number): number {
    return this.#word(row, ADDRESS_COUNT);
  }

  /** Word `word` (0–3) of the port's address number `index`. */
  addressWord(row: number, index: number, word: number): number {
    const addresses = this.#addresses;
    return addresses.words[addresses.at(this.#word(row, ADDRESS_AT) + index) + word]!;
  }

  /** Whether the four words are one of the port's addresses. */
  hasAddress(row: number, w0: number, w1: number, w2: number, w3: number): boolean {
    const count = this.addressCount(row);
    const { words } = this.#addresses;
    for (let i = 0; i < count; i++) {
      const at = this.#addresses.at(this.#word(row, ADDRESS_AT) + i);
      const isSame =
        words[at + 3] === w3 && words[at + 2] === w2 && words[at + 1] === w1 && words[at] === w0;
      if (isSame) return true;
    }
    return false;
  }

  /** The first IPv4 address of the port as one word, 0 when it has none. */
  firstIpv4(row: number): number {
    const count = this.addressCount(row);
    for (let i = 0; i < count; i++) {
      if (this.addressWord(row, i, 2) === IPV4_MAPPED) return this.addressWord(row, i, 3);
    }
    return 0;
  }

  /**
   * Number of the port's first IPv6 address that is not link-local, else the first IPv6 one, or -1.
   */
  firstIpv6(row: number): number {
    const count = this.addressCount(row);
    let linkLocal = -1;
    for (let i = 0; i < count; i++) {
      if (this.addressWord(row, i, 2) === IPV4_MAPPED && this.addressWord(row, i, 0) === 0)
        continue;
      if (this.addressWord(row, i, 0) >>> 22 !== 0x3fa) return i;
      if (linkLocal < 0) linkLocal = i;
    }
    return linkLocal;
  }

  #word(row: number, field: number): number {
    // What `Rows.at` says, with the width as a constant: a packet asks a dozen times.
    return this.#words[row * WIDTH + field]!;
  }
}
