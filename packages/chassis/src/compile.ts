/**
 * From the desired state to the tables of one generation, for one chassis. Pure: no clock, no I/O,
 * no randomness; the same input gives the same bytes. Run by the control thread.
 */
import { PLACEABLE, type PlaceableStage } from "@rhone/state/dataplane";
import { get, type State } from "@rhone/state/state";
import { type AclImages, buildAcls } from "@rhone/tables/acls";
import * as datapaths from "@rhone/tables/datapaths";
import { buildEndpoints } from "@rhone/tables/endpoints";
import { buildExactTable, type ExactImage } from "@rhone/tables/exact-table";
import { buildGeneration, type Generation } from "@rhone/tables/generation";
import { buildGroups, type Group } from "@rhone/tables/groups";
import { buildLoadBalancers } from "@rhone/tables/load-balancers";
import { buildPlacement, type Place } from "@rhone/tables/placement";
import { buildPorts, KIND_ROUTER, KIND_VIF, type PortRow } from "@rhone/tables/ports";
import { buildRoutes } from "@rhone/tables/routes";
import { type AclPlaces, compileAcls } from "./compile-acls.ts";
import { addressOf } from "./compile-address.ts";
import { compiled } from "./compile-error.ts";
import { compileLoadBalancers } from "./compile-load-balancers.ts";
import {
  type CompiledPorts,
  compilePorts,
  entriesOf,
  type NamedPort,
  type PortIndex,
  type Rows,
} from "./compile-ports.ts";
import { compileRoutes } from "./compile-routes.ts";
import { Selectors } from "./compile-selectors.ts";
import { assignKeys, DATAPATH_KEYS } from "./keys.ts";
import type { StampKeys } from "./stamp-keys.ts";

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

/** A generation with what it was made from, for whoever makes the next one of it. */
export interface Compilation {
  readonly generation: Generation;
  readonly rows: Rows;
  readonly ports: CompiledPorts;
}

/** The generation numbered by the state's revision. */
export function compile(state: State, self: Self): Generation {
  return compileAll(state, self).generation;
}

export function compileAll(state: State, self: Self): Compilation {
  const others = state.chassis.filter((chassis) => chassis.name !== self.name);
  const shortIds = assignKeys(state.chassis, 1, SHORT_IDS);
  const names = [
    ...state.switches.map(({ name, created }) => ({ name: `switch/${name}`, created })),
    ...state.routers.map(({ name, created }) => ({ name: `router/${name}`, created })),
  ];
  const keys = assignKeys(names, 1, DATAPATH_KEYS);
  const rows = {
    datapaths: new Map(names.map(({ name }, row) => [name, row])),
    endpoints: new Map(others.map(({ name }, row) => [name, row])),
  };
  const ports = compilePorts(state, self, rows);
  const fixed = ports.rows.slice(0, ports.firstVif);
  const gateways = gatewaysOf(fixed);
  const own = state.chassis.find(({ name }) => name === self.name)?.value.underlay;
  const endpoints = others.map(({ name, value }) =>
    compiled("chassis", name, () => ({
      address: addressOf(value.underlay),
      shortId: shortIds.get(name)!,
      keys:
        self.keys === null || own === undefined
          ? null
          : self.keys.made.between(own, value.underlay, self.keys.epoch),
    })),
  );
  const images = {
    datapaths: datapaths.buildDatapaths(
      names.map(({ name }, row) => ({
        kind: name.startsWith("switch/") ? datapaths.KIND_SWITCH : datapaths.KIND_ROUTER,
        key: keys.get(name)!,
        gateway: gateways.get(row) ?? -1,
        // Switches come first.
        maxStaleMs: (state.switches[row]?.value.maxStaleSeconds ?? 0) * 1000,
      })),
    ),
    datapathByKey: buildExactTable(
      1,
      names.map(({ name }, value) => ({ key: [keys.get(name)!], value })),
    ),
    ...buildPorts(ports.rows),
    portByKey: indexOf("portByKey", ports.rows),
    portByDevice: indexOf("portByDevice", ports.rows),
    portByMac: indexOf("portByMac", ports.rows),
    neighbours: indexOf("neighbours", ports.rows),
    ownAddresses: indexOf("ownAddresses", fixed),
    ...buildRoutes(compileRoutes(state, fixed, rows.datapaths)),
    ...groupImages(ports.rows, rows),
    endpoints: buildEndpoints(endpoints),
    placement: placementImage(state, self, rows),
    endpointByAddress: buildExactTable(
      4,
      endpoints.map((endpoint, value) => ({ key: endpoint.address, value })),
    ),
    ...aclImages(state, self, rows, ports),
    ...buildLoadBalancers(
      compileLoadBalancers(state, (name) => rows.datapaths.get(`switch/${name}`)),
    ),
  };
  const header = {
    generation: state.revision,
    shortId: shortIds.get(self.name) ?? 0,
    tunnelMtu: self.tunnelMtu,
  };
  return { generation: buildGeneration(header, images), rows, ports };
}

/** By switch row: the row of the first router's port in it. */
function gatewaysOf(ports: readonly NamedPort[]): ReadonlyMap<number, number> {
  const gateways = new Map<number, number>();
  for (const [row, { datapath, kind }] of ports.entries()) {
    if (kind === KIND_ROUTER && !gateways.has(datapath)) gateways.set(datapath, row);
  }
  return gateways;
}

const KEY_WORDS: Readonly<Record<PortIndex, number>> = {
  ...{ portByKey: 2, portByDevice: 1, portByMac: 3, neighbours: 5, ownAddresses: 5 },
};

/** A section that leads to ports. */
export function indexOf(index: PortIndex, ports: readonly PortRow[]): ExactImage {
  const entries = ports.flatMap((port, row) => entriesOf(index, port, row));
  return buildExactTable(KEY_WORDS[index], entries);
}

/** The rules of switches, and of ports that are neither a router's nor a load balancer's. */
export function aclImages(state: State, self: Self, rows: Rows, ports: CompiledPorts): AclImages {
  const datapathOf = (name: string) => rows.datapaths.get(`switch/${name}`);
  const places: AclPlaces = {
    datapath: datapathOf,
    port: (at, name) => {
      const row = ports.vifRows.get(name);
      return row !== undefined && ports.rows[row]!.datapath === datapathOf(at) ? row : undefined;
    },
  };
  const selectors = new Selectors(ports.rows, rows.datapaths.size);
  const rules = compileAcls(state, self.ruleCounters, places, selectors);
  return buildAcls(rows.datapaths.size, rules);
}

/** Who gets a copy of a packet for many. */
export function groupImages(
  ports: readonly NamedPort[],
  { datapaths }: Rows,
): { groupIndex: Int32Array; groupMembers: Int32Array } {
  const groups = Array.from({ length: datapaths.size }, () => {
    return { local: [] as number[], remote: new Set<number>() };
  });
  for (const [row, { datapath, kind, location, device }] of ports.entries()) {
    if (kind !== KIND_VIF) continue;
    if (location >= 0) groups[datapath]!.remote.add(location);
    else if (device >= 0) groups[datapath]!.local.push(row);
  }
  const sorted: Group[] = groups.map(({ local, remote }) => {
    return { local, remote: [...remote].sort((a, b) => a - b) };
  });
  const { index, members } = buildGroups(sorted);
  return { groupIndex: index, groupMembers: members };
}

/** Where this chassis's stages run; a place that is not there any more is as none. */
export function placementImage(state: State, self: Self, { endpoints }: Rows): Int32Array {
  const placement = get(state, "dataplane", self.name)?.value.placement ?? {};
  const places = new Map<number, Place>();
  for (const [stage, number] of Object.entries(PLACEABLE)) {
    const place = placement[stage as PlaceableStage];
    if (place === undefined) continue;
    const endpoint = "chassis" in place ? endpoints.get(place.chassis) : undefined;
    if ("worker" in place && self.workers.includes(place.worker)) {
      places.set(number, { worker: place.worker });
    }
    if (endpoint !== undefined) places.set(number, { endpoint });
  }
  return buildPlacement(places);
}
