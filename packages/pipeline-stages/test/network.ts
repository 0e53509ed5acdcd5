/**
 * A small network for the stages' tests, in real tables and a real pool: switches `web` (row 0) and
 * `db` (row 1), router1 (row 2) between them. Two workers at this chassis; vm1 and vm2 on web at
 * workers 0 and 1, vm4 on db at worker 0, vm3 on web and vm5 on db at another chassis, vm6 nowhere.
 */
import { COUNTERS_SIZE, Counters } from "@rhone/rings/counters";
import { DROP, type DropReasonName } from "@rhone/rings/drop-reason";
import * as packet from "@rhone/rings/packet";
import { poolViews, SMALL_FRAME_MAX } from "@rhone/rings/pool";
import { RULE_COUNTERS_SIZE, RuleCounters } from "@rhone/rings/rule-counters";
import { SlotAllocator } from "@rhone/rings/slot-allocator";
import { type AclRule, buildAcls } from "@rhone/tables/acls";
import * as datapaths from "@rhone/tables/datapaths";
import { buildEndpoints, type EndpointKeys } from "@rhone/tables/endpoints";
import { buildExactTable } from "@rhone/tables/exact-table";
import { buildGeneration, Tables } from "@rhone/tables/generation";
import { buildGroups } from "@rhone/tables/groups";
import { buildLoadBalancers, type VipRow } from "@rhone/tables/load-balancers";
import { buildPlacement, type Place } from "@rhone/tables/placement";
import {
  buildPorts,
  KIND_LOAD_BALANCER,
  KIND_ROUTER,
  KIND_VIF,
  LOCATED_HERE,
  LOCATED_NOWHERE,
  type PortRow,
} from "@rhone/tables/ports";
import { buildRoutes, type Route } from "@rhone/tables/routes";
import { type Address, linkLocalFromMac, parseAddress, parseMac } from "@rhone/wire/address";
import { Batch, Core } from "../src/core.ts";
import { fastPath } from "../src/fast-path.ts";
import { Arrivals, runPipeline, STAGES } from "../src/pipeline.ts";

/** Tunnel endpoint of the other chassis. */
export const PEER = "192.168.100.2";

export const VM1 = 0;
export const VM2 = 1;
export const VM3 = 2;
export const VM4 = 3;
export const VM5 = 4;
export const VM6 = 5;
export const ROUTER_WEB = 6;
export const ROUTER_DB = 7;
/** A load balancer's own address in web. */
export const BALANCER = 8;

const SPECS = [
  { row: VM1, switch: 0, location: LOCATED_HERE, worker: 0, device: 0, mac: "02:00:00:00:01:0a" },
  { row: VM2, switch: 0, location: LOCATED_HERE, worker: 1, device: 1, mac: "02:00:00:00:01:0b" },
  { row: VM3, switch: 0, location: 0, worker: 0, device: -1, mac: "02:00:00:00:01:0c" },
  { row: VM4, switch: 1, location: LOCATED_HERE, worker: 0, device: 2, mac: "02:00:00:00:02:0a" },
  { row: VM5, switch: 1, location: 0, worker: 0, device: -1, mac: "02:00:00:00:02:0b" },
  {
    row: VM6,
    switch: 0,
    location: LOCATED_NOWHERE,
    worker: 0,
    device: -1,
    mac: "02:00:00:00:01:0d",
  },
] as const;

const ADDRESSES: Readonly<Record<number, readonly string[]>> = {
  [VM1]: ["10.0.1.10", "fd00:0:0:1::10"],
  [VM2]: ["10.0.1.11", "fd00:0:0:1::11"],
  [VM3]: ["10.0.1.12", "fd00:0:0:1::12"],
  [VM4]: ["10.0.2.10", "fd00:0:0:2::10"],
  [VM5]: ["10.0.2.11", "fd00:0:0:2::11"],
  [VM6]: ["10.0.1.13"],
  [ROUTER_WEB]: ["10.0.1.1", "fd00:0:0:1::1"],
  [ROUTER_DB]: ["10.0.2.1", "fd00:0:0:2::1"],
  [BALANCER]: ["10.0.1.99"],
};

export const MACS: Readonly<Record<number, string>> = {
  ...Object.fromEntries(SPECS.map(({ row, mac }) => [row, mac])),
  [ROUTER_WEB]: "02:00:00:00:01:01",
  [ROUTER_DB]: "02:00:00:00:02:01",
  [BALANCER]: "02:00:00:00:01:63",
};

export function ip(text: string): Address {
  return parseAddress(text)!;
}

function portRow(row: number, rest: Omit<PortRow, "macHigh" | "macLow" | "addresses">): PortRow {
  const mac = parseMac(MACS[row]!)!;
  const addresses = ADDRESSES[row]!.map(ip);
  return {
    ...rest,
    macHigh: mac.high,
    macLow: mac.low,
    addresses: addresses.length > 1 ? [...addresses, linkLocalFromMac(mac)] : addresses,
  };
}

function buildPortRows(open: readonly number[], away: ReadonlyMap<number, number>): PortRow[] {
  return [
    ...SPECS.map((spec) =>
      portRow(spec.row, {
        datapath: spec.switch,
        key: spec.row + 1,
        kind: KIND_VIF,
        location: away.has(spec.row) ? 0 : spec.location,
        device: spec.device,
        isSecured: !open.includes(spec.row),
        router: -1,
        isUp: spec.row !== VM6,
        standby: away.get(spec.row) ?? 0,
      }),
    ),
    ...[ROUTER_WEB, ROUTER_DB].map((row, datapath) =>
      portRow(row, {
        ...{ datapath, key: row + 1, kind: KIND_ROUTER, location: LOCATED_HERE },
        ...{ device: -1, isSecured: false, router: 2, isUp: true, standby: 0 },
      }),
    ),
    portRow(BALANCER, {
      ...{ datapath: 0, key: BALANCER + 1, kind: KIND_LOAD_BALANCER, location: LOCATED_NOWHERE },
      ...{ device: -1, isSecured: false, router: -1, isUp: true, standby: 0 },
    }),
  ];
}

/**
 * `rules` stand in the order in which they decide; `keys` are those of the other chassis, for the
 * stamps' tags; `places` say where stages run that are not run here. `routes` are more of router1;
 * what comes and goes by `open` ports is not checked for its addresses. `away` are ports that stand
 * by here, with their bits, and are at the other chassis.
 */
export function buildTables(
  generation = 1,
  rules: readonly AclRule[] = [],
  keys: EndpointKeys | null = null,
  places: ReadonlyMap<number, Place> = new Map(),
  routes: readonly Route[] = [],
  open: readonly number[] = [],
  vips: readonly VipRow[] = [],
  away: ReadonlyMap<number, number> = new Map(),
): Tables {
  const ports = buildPortRows(open, away);
  const index = (width: number, keysOf: (port: PortRow) => readonly (readonly number[])[]) =>
    buildExactTable(
      width,
      ports.flatMap((port, value) => keysOf(port).map((key) => ({ key, value }))),
    );
  const connected = (text: string, length: number, outPort: number) => ({
    ...{ prefix: ip(text), length, outPort, nextHop: null },
  });
  const routeImages = buildRoutes([
    [],
    [],
    [
      connected("10.0.1.0", 120, ROUTER_WEB),
      connected("10.0.2.0", 120, ROUTER_DB),
      connected("fd00:0:0:1::", 64, ROUTER_WEB),
      connected("fd00:0:0:2::", 64, ROUTER_DB),
      { prefix: ip("10.9.0.0"), length: 112, outPort: ROUTER_DB, nextHop: ip("10.0.2.10") },
      ...routes,
    ],
  ]);
  const groups = buildGroups([
    { local: [VM1, VM2], remote: [0] },
    { local: [VM4], remote: [0] },
    { local: [], remote: [] },
  ]);
  const peer = { address: ip(PEER), shortId: 2, keys };
  const { ports: portWords, addresses } = buildPorts(ports);
  return new Tables(
    buildGeneration(
      { generation, shortId: 1, tunnelMtu: 1418 },
      {
        datapaths: datapaths.buildDatapaths([
          { kind: datapaths.KIND_SWITCH, key: 5, gateway: ROUTER_WEB, maxStaleMs: 0 },
          { kind: datapaths.KIND_SWITCH, key: 6, gateway: ROUTER_DB, maxStaleMs: 0 },
          { kind: datapaths.KIND_ROUTER, key: 10, gateway: -1, maxStaleMs: 0 },
        ]),
        datapathByKey: buildExactTable(
          1,
          [5, 6, 10].map((key, value) => ({ key: [key], value })),
        ),
        ports: portWords,
        addresses,
        portByKey: index(2, (port) => [[port.datapath, port.key]]),
        portByDevice: index(1, (port) => (port.device < 0 ? [] : [[port.device]])),
        portByMac: index(3, (port) => [[port.datapath, port.macHigh, port.macLow]]),
        neighbours: index(5, (port) => port.addresses.map((a) => [port.datapath, ...a])),
        ownAddresses: index(5, (port) =>
          port.router < 0 ? [] : port.addresses.map((a) => [port.router, ...a]),
        ),
        ...routeImages,
        groupIndex: groups.index,
        groupMembers: groups.members,
        endpoints: buildEndpoints([peer]),
        placement: buildPlacement(places),
        endpointByAddress: buildExactTable(4, [{ key: [...peer.address], value: 0 }]),
        ...buildAcls(3, rules),
        ...buildLoadBalancers(vips),
      },
    ),
  );
}

const { bytes, smallCount, largeCount } = poolViews();
const allocator = new SlotAllocator({ smallCount, largeCount }, 0, 1, [null], []);

/** One worker of the chassis, with a way in and a look at every way out. */
export class TestWorker {
  readonly counters = new Counters(new SharedArrayBuffer(COUNTERS_SIZE));
  readonly ruleCounters = new RuleCounters(new SharedArrayBuffer(RULE_COUNTERS_SIZE));
  readonly core: Core;
  readonly arrivals = new Arrivals(STAGES.map(() => new Batch()));
  readonly #running = new Batch();
  /** Whether flows that are known take the fast path. */
  isFast = true;
  /** Packets so far that the fast path left to the stages. */
  walked = 0;

  constructor(worker = 0, tables = buildTables()) {
    this.core = new Core(worker, this.counters, allocator, tables, this.ruleCounters);
    this.core.nowMs = 1;
    for (const { device, worker: owner } of SPECS) {
      if (device >= 0) this.core.deviceOwners[device] = owner;
    }
  }

  /** A frame that arrived by `device`, as a packet. */
  receive(frame: Uint8Array, device: number): number {
    const slot = frame.length <= SMALL_FRAME_MAX ? allocator.takeSmall() : allocator.takeLarge();
    const at = packet.defaultFrameAt(slot);
    bytes.set(frame, at);
    packet.begin(slot, at, frame.length, device);
    return slot;
  }

  /** Writes the first bytes of a frame anew, byte by byte: nothing is allocated. */
  restore(at: number, header: Uint8Array): void {
    for (let i = 0; i < header.length; i++) bytes[at + i] = header[i]!;
  }

  /** Runs one frame from a device through all stages. */
  send(frame: Uint8Array, device: number): void {
    this.arrivals.stages[0]!.add(this.receive(frame, device));
    this.run();
  }

  run(): void {
    if (this.isFast) fastPath(this.core, this.arrivals);
    for (const { count } of this.arrivals.stages) this.walked += count;
    runPipeline(this.core, this.arrivals, this.#running);
  }

  /** Takes the frames that wait for a device. */
  toDevice(device: number): Uint8Array[] {
    return this.take(this.core.outlets.devices[device]!);
  }

  toChassis(): Uint8Array[] {
    return this.take(this.core.outlets.chassis);
  }

  toWorker(worker: number): Uint8Array[] {
    return this.take(this.core.outlets.workers[worker]!);
  }

  dropped(reason: DropReasonName): number {
    return this.counters.dropped(DROP[reason]);
  }

  /** Slots that are free; the same before and after when none is lost. */
  freeSlots(): number {
    return allocator.smallFree + allocator.largeFree * 1_000_000;
  }

  take(batch: Batch): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let i = 0; i < batch.count; i++) {
      const slot = batch.slots[i]!;
      const at = packet.frameAt(slot);
      frames.push(bytes.slice(at, at + packet.length(slot)));
      allocator.give(slot);
    }
    batch.count = 0;
    return frames;
  }
}
