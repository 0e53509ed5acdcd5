/**
 * One generation: every table that the stages read, in one SharedArrayBuffer that never changes
 * after it was built. The control thread builds it aside and publishes it; a worker adopts it
 * between two batches, and holds the one before for packets that began under it.
 *
 *   word   0      magic
 *   word   1      generation, unsigned
 *   word   2      short id of this chassis
 *   word   3      largest inner IP packet that the tunnel carries, bytes
 *   word   4…     one pair a section, in the order of SECTIONS: [first word, words]
 *   then          the sections
 */
import { DEVICES_MAX } from "@rhone/rings/counters";
import { Acls } from "./acls.ts";
import { Datapaths } from "./datapaths.ts";
import { Endpoints } from "./endpoints.ts";
import { ExactTable } from "./exact-table.ts";
import { Groups } from "./groups.ts";
import { LoadBalancers } from "./load-balancers.ts";
import { Placement } from "./placement.ts";
import { Ports } from "./ports.ts";
import { Routes } from "./routes.ts";

const MAGIC = 0x52686f35; // "Rho5"; another layout gets another number.
const GENERATION = 1;
const SHORT_ID = 2;
const TUNNEL_MTU = 3;
const DIRECTORY = 4;

const SECTIONS = [
  "datapaths",
  "datapathByKey", // [key] → datapath row
  "ports",
  "addresses",
  "portByKey", // [datapath row, port key] → port row
  "portByDevice", // [device index] → port row
  "portByMac", // [datapath row, mac high, mac low] → port row
  "neighbours", // [datapath row, address × 4] → port row
  "ownAddresses", // [router row, address × 4] → port row
  "routeRoots",
  "routeNodes",
  "routeLeaves",
  "nextHops",
  "groupIndex",
  "groupMembers",
  "endpoints",
  "endpointByAddress", // [address × 4] → endpoint row
  "aclRules",
  "aclLists",
  "aclBlocks",
  "placement",
  "vips",
  "backends",
  "vipByService", // [datapath row, protocol << 16 | port, address × 4] → VIP
] as const;

export type TableImages = { readonly [section in (typeof SECTIONS)[number]]: Int32Array };

export interface GenerationHeader {
  /** 0–4294967295; greater is newer. */
  readonly generation: number;
  readonly shortId: number;
  readonly tunnelMtu: number;
}

/** Lays the images out in fresh shared memory. The same input gives the same bytes. */
export function buildGeneration(header: GenerationHeader, images: TableImages): SharedArrayBuffer {
  const headerWords = DIRECTORY + SECTIONS.length * 2;
  const total = SECTIONS.reduce((sum, name) => sum + images[name].length, headerWords);
  const buffer = new SharedArrayBuffer(total * 4);
  const words = new Int32Array(buffer);
  words[0] = MAGIC;
  words[GENERATION] = header.generation | 0;
  words[SHORT_ID] = header.shortId;
  words[TUNNEL_MTU] = header.tunnelMtu;
  let at = headerWords;
  for (const [i, name] of SECTIONS.entries()) {
    words[DIRECTORY + i * 2] = at;
    words[DIRECTORY + i * 2 + 1] = images[name].length;
    words.set(images[name], at);
    at += images[name].length;
  }
  return buffer;
}

/** Editions of tables that nobody published, as in tests, count down; -1 means none anywhere. */
let unpublished = -1;

/** A worker's view of one generation. */
export class Tables {
  /** Tells these tables from all others of the chassis; a generation's number may come again. */
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

  readonly #portOfDevice = new Int32Array(DEVICES_MAX);

  /** Throws when the buffer is no generation of this layout. */
  constructor(buffer: SharedArrayBuffer, edition = --unpublished) {
    this.edition = edition;
    this.size = buffer.byteLength;
    const words = new Int32Array(buffer);
    if (words[0] !== MAGIC) {
      throw new Error(`expected a table image with magic ${MAGIC}, got ${words[0]}`);
    }
    const section = (name: (typeof SECTIONS)[number]): Int32Array => {
      const entry = DIRECTORY + SECTIONS.indexOf(name) * 2;
      return words.subarray(words[entry]!, words[entry]! + words[entry + 1]!);
    };
    this.generation = words[GENERATION]! >>> 0;
    this.shortId = words[SHORT_ID]!;
    this.tunnelMtu = words[TUNNEL_MTU]!;
    this.datapaths = new Datapaths(section("datapaths"));
    this.datapathByKey = new ExactTable(section("datapathByKey"));
    this.ports = new Ports(section("ports"), section("addresses"));
    this.portByKey = new ExactTable(section("portByKey"));
    this.portByDevice = new ExactTable(section("portByDevice"));
    this.portByMac = new ExactTable(section("portByMac"));
    this.neighbours = new ExactTable(section("neighbours"));
    this.ownAddresses = new ExactTable(section("ownAddresses"));
    this.routes = new Routes({
      ...{ routeRoots: section("routeRoots"), routeNodes: section("routeNodes") },
      ...{ routeLeaves: section("routeLeaves"), nextHops: section("nextHops") },
    });
    this.groups = new Groups(section("groupIndex"), section("groupMembers"));
    this.endpoints = new Endpoints(section("endpoints"));
    this.endpointByAddress = new ExactTable(section("endpointByAddress"));
    const { count } = this.datapaths;
    this.placement = new Placement(section("placement"));
    this.acls = new Acls(section("aclRules"), section("aclLists"), section("aclBlocks"), count);
    this.loadBalancers = new LoadBalancers(
      section("vips"),
      section("backends"),
      section("vipByService"),
    );
    const key = new Int32Array(1);
    for (let device = 0; device < DEVICES_MAX; device++) {
      key[0] = device;
      this.#portOfDevice[device] = this.portByDevice.find(key);
    }
  }

  /** The port row of a device by its index; negative when there is none. */
  portOfDevice(device: number): number {
    return device < 0 ? -1 : this.#portOfDevice[device]!;
  }
}
