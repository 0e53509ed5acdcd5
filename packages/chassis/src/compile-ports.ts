/**
 * Ports from the desired state to rows of the tables, and the keys by which they are found. Part of
 * `compile`, and pure like it.
 */

import { type Claim, claimAt, claimsByPort, holderOf } from "@rhone/state/claim";
import type { Labels } from "@rhone/state/labels";
import { compareText, compareVersions, type LiveEntry, type Version } from "@rhone/state/record";
import type { Activation, Port, RouterPort } from "@rhone/state/schema";
import type { State } from "@rhone/state/state";
import type { ExactEntry } from "@rhone/tables/exact-table";
import {
  KIND_ROUTER,
  KIND_VIF,
  LOCATED_HERE,
  LOCATED_NOWHERE,
  type PortRow,
  STANDBY,
  STANDBY_FOR_GARP,
  STANDBY_FOR_NA,
  STANDBY_FOR_RARP,
} from "@rhone/tables/ports";
import { type Address, isIpv4, linkLocalFromMac, parseMac, parsePrefix } from "@rhone/wire/address";
import type { Self } from "./compile.ts";
import { addressOf } from "./compile-address.ts";
import { compiled } from "./compile-error.ts";
import { loadBalancerPort } from "./compile-load-balancers.ts";
import { KeyAssignment } from "./keys.ts";

const PORT_KEYS = 32767;

/** A port row that still knows its name and owner. */
export interface NamedPort extends PortRow {
  /** Of a load balancer's port with its kind in front: no port's name has a slash. */
  readonly name: string;
  /** When the port, its router or its load balancer was. */
  readonly created: Version;
  /** Of a router's port. */
  readonly prefixes: readonly { readonly address: Address; readonly length: number }[];
  /** null of a port that is a router's or a load balancer's. */
  readonly labels: Labels | null;
}

const NO_LABELS: Labels = {};

/** Where things are in the tables. */
export interface Rows {
  /** By "switch/NAME" or "router/NAME". */
  readonly datapaths: ReadonlyMap<string, number>;
  /** By chassis. */
  readonly endpoints: ReadonlyMap<string, number>;
}

/** The ports in the order of their rows, and the keys that those of each switch have, by switch. */
export interface CompiledPorts {
  readonly rows: NamedPort[];
  /** Row of the first port that is no router's and no load balancer's. */
  readonly firstVif: number;
  readonly keys: ReadonlyMap<string, KeyAssignment>;
  /** Rows of the ports from `firstVif` on, by name. */
  readonly vifRows: Map<string, number>;
}

const KEYS_OF = {
  portByKey: ({ datapath, key }: PortRow) => [[datapath, key]],
  portByDevice: ({ device }: PortRow) => (device < 0 ? [] : [[device]]),
  portByMac: ({ datapath, macHigh, macLow }: PortRow) => [[datapath, macHigh, macLow]],
  neighbours: ({ datapath, addresses }: PortRow) => addresses.map((a) => [datapath, ...a]),
  ownAddresses: ({ router, addresses }: PortRow) =>
    router < 0 ? [] : addresses.map((a) => [router, ...a]),
} as const satisfies Record<string, (port: PortRow) => readonly (readonly number[])[]>;

/** A section in which ports are looked up. */
export type PortIndex = keyof typeof KEYS_OF;

/** Everything in such a section that leads to the port in a row. */
export function entriesOf(index: PortIndex, port: PortRow, row: number): ExactEntry[] {
  return KEYS_OF[index](port).map((key) => ({ key, value: row }));
}

/**
 * Ports of routers and of load balancers come first, by switch. The others follow in the order in
 * which they were created, so that a new one is the last.
 */
export function compilePorts(state: State, self: Self, rows: Rows): CompiledPorts {
  const fixed = fixedPorts(state, rows);
  const vifs = state.ports.filter(({ value }) => rows.datapaths.has(`switch/${value.switch}`));
  const claims = Map.groupBy(
    [
      ...fixed.map(({ name, created, datapath }) => ({ name, created, datapath })),
      ...vifs.map(({ name, created, value }) => {
        return { name, created, datapath: rows.datapaths.get(`switch/${value.switch}`)! };
      }),
    ],
    ({ datapath }) => datapath,
  );
  const keys = new Map(
    state.switches.map(({ name }) => {
      const own = claims.get(rows.datapaths.get(`switch/${name}`)!) ?? [];
      return [name, compiled("switch", name, () => new KeyAssignment(own, 1, PORT_KEYS))];
    }),
  );
  const keysOfRow = [...keys.values()];
  const firstVif = fixed.length;
  const inOrder = vifs.toSorted(compareCreation);
  const claimsOfPort = claimsByPort(state);
  return {
    rows: [
      ...fixed.map((port) => ({ ...port, key: keysOfRow[port.datapath]!.of(port.name)! })),
      ...inOrder.map((entry) => {
        const key = keys.get(entry.value.switch)!.of(entry.name)!;
        return vifPort(claimsOfPort(entry.name), self, rows, entry, key);
      }),
    ],
    firstVif,
    keys,
    vifRows: new Map(inOrder.map(({ name }, i) => [name, firstVif + i])),
  };
}

/** The order in which ports that are neither a router's nor a load balancer's have their rows. */
export function compareCreation(
  a: Pick<NamedPort, "name" | "created">,
  b: Pick<NamedPort, "name" | "created">,
): number {
  return compareVersions(a.created, b.created) || compareText(a.name, b.name);
}

const STANDBY_FOR = {
  rarp: STANDBY_FOR_RARP,
  garp: STANDBY_FOR_GARP,
  na: STANDBY_FOR_NA,
} as const satisfies Record<Activation, number>;

/** The row of a port whose switch is there. */
export function vifPort(
  claims: readonly Claim[],
  self: Self,
  rows: Rows,
  { name, created, value }: LiveEntry<Port>,
  key: number,
): NamedPort {
  return compiled("port", name, () => {
    const holder = holderOf(value, claims);
    const isHere = holder === self.name;
    const remote = holder === undefined ? undefined : rows.endpoints.get(holder);
    const device = self.devices.get(name)?.index ?? -1;
    const mac = parseMac(value.mac)!;
    return {
      ...{ name, created, prefixes: [], key, labels: value.labels ?? NO_LABELS },
      datapath: rows.datapaths.get(`switch/${value.switch}`)!,
      kind: KIND_VIF,
      location: isHere ? LOCATED_HERE : (remote ?? LOCATED_NOWHERE),
      device,
      macHigh: mac.high,
      macLow: mac.low,
      isSecured: value.portSecurity,
      addresses: withLinkLocal(value.addresses.map(addressOf), value.mac),
      router: -1,
      isUp: holder !== undefined && claimAt(claims, holder)?.value.up === true,
      standby: isHere || device < 0 ? 0 : STANDBY | activationBits(value, self.name),
    };
  });
}

/** Which frames make a port active that moves to `chassis`. */
function activationBits({ migration }: Port, chassis: string): number {
  if (migration?.chassis !== chassis) return 0;
  return migration.activation!.reduce((bits, frame) => bits | STANDBY_FOR[frame], 0);
}

type KeylessPort = Omit<NamedPort, "key">;

/** Those of routers and of load balancers, which have no key yet. */
function fixedPorts(state: State, { datapaths }: Rows): KeylessPort[] {
  const ports: KeylessPort[][] = state.switches.map(() => []);
  const add = (switchName: string, portAt: (datapath: number) => KeylessPort): void => {
    const datapath = datapaths.get(`switch/${switchName}`);
    // A peer's merge can leave a port without its switch.
    if (datapath !== undefined) ports[datapath]!.push(portAt(datapath));
  };
  for (const { name, created, value } of state.routers) {
    const router = datapaths.get(`router/${name}`)!;
    for (const port of value.ports) {
      add(port.switch, (datapath) =>
        compiled("router", name, () => ({ ...routerPort(port), created, datapath, router })),
      );
    }
  }
  for (const entry of state.loadBalancers) {
    const { created } = entry;
    const name = `load-balancer/${entry.name}`;
    for (const switchName of entry.value.switches) {
      add(switchName, (datapath) => {
        const port = compiled("load-balancer", entry.name, () => loadBalancerPort(entry));
        return { ...port, name, created, prefixes: [], labels: null, datapath };
      });
    }
  }
  return ports.flat();
}

function routerPort(port: RouterPort): Omit<KeylessPort, "datapath" | "router" | "created"> {
  const mac = parseMac(port.mac)!;
  const prefixes = port.addresses.map((text) => parsePrefix(text)!);
  const addresses = prefixes.map((prefix) => prefix.address);
  return {
    name: port.name,
    labels: null,
    kind: KIND_ROUTER,
    location: LOCATED_HERE,
    device: -1,
    macHigh: mac.high,
    macLow: mac.low,
    isSecured: false,
    addresses: withLinkLocal(addresses, port.mac),
    prefixes,
    ...{ isUp: true, standby: 0 },
  };
}

/** A port with an IPv6 address also has the link-local one of its MAC (RFC 4291 §2.5.6). */
function withLinkLocal(addresses: readonly Address[], macText: string): readonly Address[] {
  if (addresses.every(isIpv4)) return addresses;
  return [...addresses, linkLocalFromMac(parseMac(macText)!)];
}
