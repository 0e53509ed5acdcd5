/**
 * One generation: every table that the stages read. The control thread builds it aside and
 * publishes it; from then on none of its words changes. A worker adopts it between two batches, and
 * holds the one before for packets that began under it.
 *
 * Each section has shared memory of its own, an exact-match table several pages, so that a
 * generation shares with the one before it what is the same in both.
 */
import { DEVICES_MAX } from "@rhone/rings/counters";
import { Acls } from "./acls.ts";
import { Datapaths } from "./datapaths.ts";
import { Endpoints } from "./endpoints.ts";
import { type ExactImage, ExactTable } from "./exact-table.ts";
import { Groups } from "./groups.ts";
import { LoadBalancers } from "./load-balancers.ts";
import { Placement } from "./placement.ts";
import { Ports } from "./ports.ts";
import { Routes } from "./routes.ts";
import { asShared } from "./shared-words.ts";

/** Tables whose words have an order of their own. */
const PLAIN_SECTIONS = [
  "datapaths",
  "ports",
  "addresses",
  "routeRoots",
  "routeNodes",
  "routeLeaves",
  "nextHops",
  "groupIndex",
  "groupMembers",
  "endpoints",
  "aclRules",
  "aclLists",
  "aclBlocks",
  "placement",
  "vips",
  "backends",
] as const;

const EXACT_SECTIONS = [
  "datapathByKey", // [key] → datapath row
  "portByKey", // [datapath row, port key] → port row
  "portByDevice", // [device index] → port row
  "portByMac", // [datapath row, mac high, mac low] → port row
  "neighbours", // [datapath row, address × 4] → port row
  "ownAddresses", // [router row, address × 4] → port row
  "endpointByAddress", // [address × 4] → endpoint row
  "vipByService", // [datapath row, protocol << 16 | port, address × 4] → VIP
  "vipByBackend", // [datapath row, address × 4] → one of its VIPs
] as const;

export type PlainSection = (typeof PLAIN_SECTIONS)[number];
export type ExactSection = (typeof EXACT_SECTIONS)[number];
export type TableImages = { readonly [section in PlainSection]: Int32Array } & {
  readonly [section in ExactSection]: ExactImage;
};

export interface GenerationHeader {
  /** 0–4294967295; greater is newer. */
  readonly generation: number;
  readonly shortId: number;
  /** Largest inner IP packet that the tunnel carries, bytes. */
  readonly tunnelMtu: number;
}

/** What workers are sent: a message has the header in it, and of the words only where they are. */
export interface Generation extends GenerationHeader {
  readonly sections: TableImages;
}

/**
 * Whether one number of a generation comes after another. They are 32 bits of a clock that goes on
 * for ever, so they are compared by serial number arithmetic (RFC 1982): right for those that are
 * less than 2³¹ ticks apart, 24 days. What must not be wrong for others looks for equality first.
 */
export function isNewer(generation: number, than: number): boolean {
  return ((generation - than) | 0) > 0;
}

/** Moves to shared memory what is not there yet. */
export function buildGeneration(header: GenerationHeader, images: TableImages): Generation {
  const plain = PLAIN_SECTIONS.map((name) => [name, asShared(images[name])] as const);
  const { generation, shortId, tunnelMtu } = header;
  const sections = { ...images, ...Object.fromEntries(plain) };
  return { generation: generation >>> 0, shortId, tunnelMtu, sections };
}

/** The memory of each section, in one order: two generations share those that are identical. */
export function pagesOf({ sections }: Generation): readonly Int32Array[] {
  const plain = PLAIN_SECTIONS.map((name) => sections[name]);
  return [...plain, ...EXACT_SECTIONS.flatMap((name) => sections[name].pages)];
}

/** Of tables that nobody published, as in tests: before all others, in the order they were made. */
let unpublished = -(2 ** 30);

/** A worker's view of one generation. */
export class Tables {
  /**
   * Tells these tables from all others of the chassis, later ones have a greater one; -1 is none
   * of them. A generation's number may come again.
   */
  readonly edition: number;
  readonly generation: number;
  /** Bytes of all tables. */
  readonly size: number;
  readonly shortId: number;
  readonly tunnelMtu: number;
  readonly datapaths: Datapaths;
  readonly datapathByKey: ExactTable;
  readonly ports: Ports;
  readonly portByKey: ExactTable;
  readonly portByDevice: ExactTable;
  readonly portByMac: ExactTable;
  readonly neighbours: ExactTable;
  readonly ownAddresses: ExactTable;
  readonly routes: Routes;
  readonly groups: Groups;
  readonly endpoints: Endpoints;
  readonly endpointByAddress: ExactTable;
  readonly acls: Acls;
  readonly placement: Placement;
  readonly loadBalancers: LoadBalancers;
  /** Whether a device here belongs to a port that is elsewhere. */
  readonly hasStandby: boolean;

  readonly #portOfDevice = new Int32Array(DEVICES_MAX);

  constructor(image: Generation, edition = ++unpublished) {
    this.edition = edition;
    this.size = pagesOf(image).reduce((sum, { byteLength }) => sum + byteLength, 0);
    this.generation = image.generation;
    this.shortId = image.shortId;
    this.tunnelMtu = image.tunnelMtu;
    const { sections } = image;
    this.datapaths = new Datapaths(sections.datapaths);
    this.datapathByKey = new ExactTable(sections.datapathByKey);
    this.ports = new Ports(sections.ports, sections.addresses);
    this.portByKey = new ExactTable(sections.portByKey);
    this.portByDevice = new ExactTable(sections.portByDevice);
    this.portByMac = new ExactTable(sections.portByMac);
    this.neighbours = new ExactTable(sections.neighbours);
    this.ownAddresses = new ExactTable(sections.ownAddresses);
    this.routes = new Routes(sections);
    this.groups = new Groups(sections.groupIndex, sections.groupMembers);
    this.endpoints = new Endpoints(sections.endpoints);
    this.endpointByAddress = new ExactTable(sections.endpointByAddress);
    const { count } = this.datapaths;
    this.placement = new Placement(sections.placement);
    this.acls = new Acls(sections.aclRules, sections.aclLists, sections.aclBlocks, count);
    this.loadBalancers = new LoadBalancers(sections);
    const key = new Int32Array(1);
    let hasStandby = false;
    for (let device = 0; device < DEVICES_MAX; device++) {
      key[0] = device;
      const port = this.portByDevice.find(key);
      this.#portOfDevice[device] = port;
      if (port >= 0 && this.ports.isStandby(port)) hasStandby = true;
    }
    this.hasStandby = hasStandby;
  }

  /** The port row of a device by its index; negative when there is none. */
  portOfDevice(device: number): number {
    return device < 0 ? -1 : this.#portOfDevice[device]!;
  }
}
