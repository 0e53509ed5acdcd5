/**
 * From the desired state to the tables of one generation, for one chassis. Pure: no clock, no I/O,
 * no randomness; the same input gives the same bytes. Run by the control thread.
 */
import { PLACEABLE, type PlaceableStage } from "@rhone/state/dataplane";
import type { LiveEntry } from "@rhone/state/record";
import type { Port, RouterPort } from "@rhone/state/schema";
import { get, type State } from "@rhone/state/state";
import { buildAcls } from "@rhone/tables/acls";
import * as datapaths from "@rhone/tables/datapaths";
import { buildEndpoints } from "@rhone/tables/endpoints";
import { buildExactTable, type ExactEntry } from "@rhone/tables/exact-table";
import { buildGeneration } from "@rhone/tables/generation";
import { buildGroups, type Group } from "@rhone/tables/groups";
import { buildLoadBalancers } from "@rhone/tables/load-balancers";
import { buildPlacement, type Place } from "@rhone/tables/placement";
import {
  buildPorts,
  KIND_ROUTER,
  KIND_VIF,
  LOCATED_HERE,
  LOCATED_NOWHERE,
  type PortRow,
} from "@rhone/tables/ports";
import { buildRoutes, type Route } from "@rhone/tables/routes";
import {
  type Address,
  isIpv4,
  linkLocalFromMac,
  networkOf,
  parseAddress,
  parseMac,
  parsePrefix,
  prefixContains,
} from "@rhone/wire/address";
import { type AclPlaces, compileAcls } from "./compile-acls.ts";
import { compileLoadBalancers, loadBalancerPort } from "./compile-load-balancers.ts";
import { assignKeys, DATAPATH_KEYS } from "./keys.ts";
import type { StampKeys } from "./stamp-keys.ts";

const PORT_KEYS = 32767;
const SHORT_IDS = 65535;

/** What only this chassis knows about itself. */
export interface Self {
  readonly name: string;
  /** Largest inner IP packet that the tunnel carries, bytes. */
  readonly tunnelMtu: number;
  /** Of the stamps' tags, with the epoch of now; null when the cluster has no key. */
  readonly keys: { readonly made: StampKeys; readonly epoch: number } | null;
  /** Its devices by logical port name. */
  readonly devices: ReadonlyMap<string, { readonly index: number }>;
  /** Its workers that run, and are to stay. */
  readonly workers: readonly number[];
  /** Its counters of rules, by rule name; a rule that is not here is not counted. */
  readonly ruleCounters: ReadonlyMap<string, number>;
}

/** A port row that still knows its name and owner. */
interface NamedPort extends PortRow {
  readonly name: string;
  readonly prefixes: readonly { readonly address: Address; readonly length: number }[];
}

/** The image of a generation numbered by the state's revision. */
export function compile(state: State, self: Self): SharedArrayBuffer {
  const others = state.chassis.filter((chassis) => chassis.name !== self.name);
  const endpointRow = new Map(others.map(({ name }, row) => [name, row]));
  const shortIds = assignKeys(state.chassis, 1, SHORT_IDS);
  const names = [
    ...state.switches.map(({ name, created }) => ({ name: `switch/${name}`, created })),
    ...state.routers.map(({ name, created }) => ({ name: `router/${name}`, created })),
  ];
  const keys = assignKeys(names, 1, DATAPATH_KEYS);
  const rowOf = new Map(names.map(({ name }, row) => [name, row]));
  const ports = state.switches.flatMap(({ name }) =>
    portsOfSwitch(state, self, name, rowOf, endpointRow),
  );
  const gateways = gatewaysOf(ports);
  const { ports: portWords, addresses } = buildPorts(ports);
  const routes = buildRoutes(names.map(({ name }) => routesOf(state, ports, name, rowOf)));
  const { index: groupIndex, members: groupMembers } = buildGroups(
    names.map((_, row) => groupOf(ports, row)),
  );
  const own = state.chassis.find(({ name }) => name === self.name)?.value.underlay;
  const rules = compileAcls(state, self.ruleCounters, placesOf(ports, rowOf));
  const endpoints = others.map(({ name, value }) => ({
    address: address(value.underlay),
    shortId: shortIds.get(name)!,
    keys:
      self.keys === null || own === undefined
        ? null
        : self.keys.made.between(own, value.underlay, self.keys.epoch),
  }));
  return buildGeneration(
    {
      generation: state.revision,
      shortId: shortIds.get(self.name) ?? 0,
      tunnelMtu: self.tunnelMtu,
    },
    {
      datapaths: datapaths.buildDatapaths(
        names.map(({ name }, row) => ({
          kind: name.startsWith("switch/") ? datapaths.KIND_SWITCH : datapaths.KIND_ROUTER,
          key: keys.get(name)!,
          gateway: gateways.get(row) ?? -1,
        })),
      ),
      datapathByKey: index(1, names, ({ name }) => [[keys.get(name)!]]),
      ports: portWords,
      addresses,
      portByKey: index(2, ports, (port) => [[port.datapath, port.key]]),
      portByDevice: index(1, ports, (port) => (port.device < 0 ? [] : [[port.device]])),
      portByMac: index(3, ports, (port) => [[port.datapath, port.macHigh, port.macLow]]),
      neighbours: index(5, ports, (port) => port.addresses.map((a) => [port.datapath, ...a])),
      ownAddresses: index(5, ports, (port) =>
        port.router < 0 ? [] : port.addresses.map((a) => [port.router, ...a]),
      ),
      ...routes,
      groupIndex,
      groupMembers,
      endpoints: buildEndpoints(endpoints),
      placement: buildPlacement(placesOfStages(state, self, endpointRow)),
      endpointByAddress: index(4, endpoints, (endpoint) => [[...endpoint.address]]),
      ...buildAcls(names.length, ports.length, rules),
      ...buildLoadBalancers(compileLoadBalancers(state, (name) => rowOf.get(`switch/${name}`))),
    },
  );
}

/** Where rules find their switches, and their ports that are no router's. */
function placesOf(ports: readonly NamedPort[], rowOf: ReadonlyMap<string, number>): AclPlaces {
  const vifs = ports.flatMap(({ kind, datapath, name }, row) =>
    kind === KIND_VIF ? [[`${datapath}/${name}`, row] as const] : [],
  );
  const rows = new Map<string, number>(vifs);
  const datapath = (switchName: string) => rowOf.get(`switch/${switchName}`);
  return { datapath, port: (at, name) => rows.get(`${datapath(at)}/${name}`) };
}

/** By switch row: the row of the first router's port in it. */
function gatewaysOf(ports: readonly NamedPort[]): ReadonlyMap<number, number> {
  const gateways = new Map<number, number>();
  for (const [row, { datapath, kind }] of ports.entries()) {
    if (kind === KIND_ROUTER && !gateways.has(datapath)) gateways.set(datapath, row);
  }
  return gateways;
}

/** An exact-match table from the keys of each row to the row's number. */
function index<T>(
  keyWords: number,
  rows: readonly T[],
  keysOf: (row: T) => readonly (readonly number[])[],
): Int32Array {
  const entries: ExactEntry[] = rows.flatMap((row, value) =>
    keysOf(row).map((key) => ({ key, value })),
  );
  return buildExactTable(keyWords, entries);
}

function portsOfSwitch(
  state: State,
  self: Self,
  name: string,
  rowOf: ReadonlyMap<string, number>,
  endpointRow: ReadonlyMap<string, number>,
): NamedPort[] {
  const vifs = state.ports.filter(({ value }) => value.switch === name);
  const routerPorts = state.routers.flatMap((router) =>
    router.value.ports
      .filter((port) => port.switch === name)
      .map((port) => ({ router, port, created: router.created, name: port.name })),
  );
  const loadBalancers = state.loadBalancers.filter(({ value }) => value.switches.includes(name));
  // No port's name has a slash.
  const balancers = loadBalancers.map((entry) => ({ ...entry, name: balancerName(entry.name) }));
  const keys = assignKeys([...vifs, ...routerPorts, ...balancers], 1, PORT_KEYS);
  const datapath = rowOf.get(`switch/${name}`)!;
  return [
    ...vifs.map((entry) => ({
      ...vif(state, self, entry, endpointRow),
      datapath,
      key: keys.get(entry.name)!,
    })),
    ...routerPorts.map(({ router, port }) => ({
      ...routerPort(port),
      datapath,
      key: keys.get(port.name)!,
      router: rowOf.get(`router/${router.name}`)!,
    })),
    ...loadBalancers.map((entry) => ({
      ...loadBalancerPort(entry),
      ...{ name: balancerName(entry.name), prefixes: [], datapath },
      key: keys.get(balancerName(entry.name))!,
    })),
  ];
}

/** Of its port in a switch. */
function balancerName(name: string): string {
  return `load-balancer/${name}`;
}

function vif(
  state: State,
  self: Self,
  { name, value }: LiveEntry<Port>,
  endpointRow: ReadonlyMap<string, number>,
): Omit<NamedPort, "datapath" | "key"> {
  const isHere = value.chassis === self.name;
  const local = isHere ? self.devices.get(name) : undefined;
  const binding = get(state, "binding", name)?.value;
  const remote = value.chassis === undefined ? undefined : endpointRow.get(value.chassis);
  const mac = parseMac(value.mac)!;
  return {
    name,
    kind: KIND_VIF,
    location: isHere ? LOCATED_HERE : (remote ?? LOCATED_NOWHERE),
    device: local?.index ?? -1,
    macHigh: mac.high,
    macLow: mac.low,
    isSecured: value.portSecurity,
    addresses: withLinkLocal(value.addresses.map(address), value.mac),
    prefixes: [],
    router: -1,
    isUp: binding?.up === true && binding.chassis === value.chassis,
  };
}

function routerPort(port: RouterPort): Omit<NamedPort, "datapath" | "key" | "router"> {
  const mac = parseMac(port.mac)!;
  const prefixes = port.addresses.map((text) => parsePrefix(text)!);
  const addresses = prefixes.map((prefix) => prefix.address);
  return {
    name: port.name,
    kind: KIND_ROUTER,
    location: LOCATED_HERE,
    device: -1,
    macHigh: mac.high,
    macLow: mac.low,
    isSecured: false,
    addresses: withLinkLocal(addresses, port.mac),
    prefixes,
    isUp: true,
  };
}

/** A port with an IPv6 address also has the link-local one of its MAC (RFC 4291 §2.5.6). */
function withLinkLocal(addresses: readonly Address[], macText: string): readonly Address[] {
  if (addresses.every(isIpv4)) return addresses;
  return [...addresses, linkLocalFromMac(parseMac(macText)!)];
}

function routesOf(
  state: State,
  ports: readonly NamedPort[],
  name: string,
  rowOf: ReadonlyMap<string, number>,
): readonly Route[] {
  const router = state.routers.find((entry) => `router/${entry.name}` === name);
  if (router === undefined) return [];
  const connected = ports.flatMap((port, row) =>
    port.router !== rowOf.get(name)
      ? []
      : port.prefixes.map((prefix) => ({
          prefix: networkOf(prefix.address, prefix.length),
          length: prefix.length,
          outPort: row,
          nextHop: null,
        })),
  );
  const fixed = router.value.routes.flatMap((route) => {
    const nextHop = address(route.nextHop);
    const prefix = parsePrefix(route.prefix)!;
    const via = connected.find(
      (c) =>
        isIpv4(c.prefix) === isIpv4(nextHop) &&
        prefixContains({ address: c.prefix, length: c.length }, nextHop),
    );
    if (via === undefined) return []; // A peer's merge can leave a route without its network.
    const network = networkOf(prefix.address, prefix.length);
    return [{ prefix: network, length: prefix.length, outPort: via.outPort, nextHop }];
  });
  return [...connected, ...fixed];
}

function groupOf(ports: readonly NamedPort[], datapath: number): Group {
  const local: number[] = [];
  const remote = new Set<number>();
  for (const [row, port] of ports.entries()) {
    if (port.datapath !== datapath || port.kind !== KIND_VIF) continue;
    if (port.location >= 0) remote.add(port.location);
    else if (port.device >= 0) local.push(row);
  }
  return { local, remote: [...remote].sort((a, b) => a - b) };
}

/** The state is validated before it is stored: a text that does not parse is a bug. */
function address(text: string): Address {
  const words = parseAddress(text);
  if (words === null) throw new Error(`expected a validated IP address, got "${text}"`);
  return words;
}

/** Where this chassis's stages run; a place that is not there any more is as none. */
function placesOfStages(
  state: State,
  self: Self,
  endpointRow: ReadonlyMap<string, number>,
): ReadonlyMap<number, Place> {
  const placement = get(state, "dataplane", self.name)?.value.placement ?? {};
  const places = new Map<number, Place>();
  for (const [stage, number] of Object.entries(PLACEABLE)) {
    const place = placement[stage as PlaceableStage];
    if (place === undefined) continue;
    const endpoint = "chassis" in place ? endpointRow.get(place.chassis) : undefined;
    if ("worker" in place && self.workers.includes(place.worker)) {
      places.set(number, { worker: place.worker });
    }
    if (endpoint !== undefined) places.set(number, { endpoint });
  }
  return places;
}
