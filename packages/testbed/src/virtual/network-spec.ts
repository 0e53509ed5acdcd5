/**
 * A random logical network, described by small numbers that fast-check can make smaller, and the
 * desired state that it stands for, made by the product's own store and validation.
 */

import type { AclDocument } from "@rhone/state/acl";
import { bindingName } from "@rhone/state/claim";
import { type DataplaneDocument, PLACEABLE, type PlaceableStage } from "@rhone/state/dataplane";
import type { Labels } from "@rhone/state/labels";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { PortDocument, RouterDocument } from "@rhone/state/schema";
import type { State } from "@rhone/state/state";
import type { Change } from "@rhone/state/store";
import fc from "fast-check";
import { type BalancerSpec, balancerDocument, balancerSpecs } from "./balancer-spec.ts";

const LABELS: readonly Labels[] = [
  {},
  { app: "web" },
  { app: "db" },
  { app: "web", "example.org/env": "test" },
];
const SELECTORS: readonly Labels[] = [
  { app: "web" },
  { app: "db" },
  { app: "web", "example.org/env": "test" },
];

export interface LinkSpec {
  /** Taken modulo the count of switches, as every number that names something. */
  readonly switch: number;
  readonly family: "both" | "v4" | "v6";
}

export interface RouteSpec {
  readonly isV4: boolean;
  readonly destination: number;
  readonly link: number;
  readonly nextHop: number;
}

export interface RouterSpec {
  readonly links: readonly LinkSpec[];
  readonly routes: readonly RouteSpec[];
}

export interface PortSpec {
  readonly switch: number;
  readonly hasV4: boolean;
  readonly hasV6: boolean;
  readonly isSecured: boolean;
  readonly place: "bound" | "down" | "deviceless" | "nowhere";
  readonly chassis: number;
  readonly worker: number;
  /** Which of LABELS it has; none when left out. */
  readonly labels?: number;
}

export interface RuleSpec {
  readonly switch: number;
  /** null: every port of the switch. */
  readonly port: number | null;
  readonly direction: "from-port" | "to-port";
  readonly priority: number;
  readonly protocol: "icmp" | "tcp" | "udp" | "icmpv6" | 47 | null;
  readonly isV4: boolean;
  /** A network or a host; null: any. */
  readonly source: number | null;
  readonly destination: number | null;
  /** Which of SELECTORS; null or left out: not asked. */
  readonly sourceLabels?: number | null;
  readonly destinationLabels?: number | null;
  readonly sourcePorts: string | null;
  readonly destinationPorts: string | null;
  readonly action: "allow" | "allow-stateless" | "drop" | "reject";
}

export interface NetworkSpec {
  readonly switches: number;
  /** One number a chassis: how many workers it has. */
  readonly workers: readonly number[];
  readonly routers: readonly RouterSpec[];
  readonly ports: readonly PortSpec[];
  readonly rules: readonly RuleSpec[];
  /** None when left out. */
  readonly balancers?: readonly BalancerSpec[];
  /** Where stages run that are not run where their packets are; none when left out. */
  readonly placements?: readonly PlacementSpec[];
}

export interface PlacementSpec {
  readonly chassis: number;
  readonly stage: PlaceableStage;
  /** At another chassis, or at another worker. */
  readonly isRemote: boolean;
  readonly where: number;
}

const link: fc.Arbitrary<LinkSpec> = fc.record({
  switch: fc.nat(7),
  family: oneOf([8, "both"], [1, "v4"], [1, "v6"]),
});

const route: fc.Arbitrary<RouteSpec> = fc.record({
  isV4: fc.boolean(),
  destination: fc.nat(15),
  link: fc.nat(3),
  nextHop: fc.nat(7),
});

const port: fc.Arbitrary<PortSpec> = fc.record({
  switch: fc.nat(7),
  hasV4: oneOf([7, true], [1, false]),
  hasV6: oneOf([5, true], [1, false]),
  isSecured: oneOf([2, true], [1, false]),
  place: oneOf([16, "bound"], [1, "down"], [1, "deviceless"], [1, "nowhere"]),
  chassis: fc.nat(5),
  worker: fc.nat(3),
  labels: fc.nat(3),
});

const ruleSpec: fc.Arbitrary<RuleSpec> = fc.record({
  switch: fc.nat(7),
  port: fc.option(fc.nat(15)),
  direction: fc.constantFrom("from-port", "to-port"),
  priority: fc.nat(3),
  protocol: oneOf<RuleSpec["protocol"]>(
    [3, null],
    [2, "tcp"],
    [2, "udp"],
    [1, "icmp"],
    [1, "icmpv6"],
    [1, 47],
  ),
  isV4: fc.boolean(),
  source: fc.option(fc.nat(15), { freq: 1 }),
  destination: fc.option(fc.nat(15), { freq: 1 }),
  sourceLabels: oneOf([4, null], [1, 0], [1, 1], [1, 2]),
  destinationLabels: oneOf([4, null], [1, 0], [1, 1], [1, 2]),
  sourcePorts: oneOf([4, null], [1, "40000"], [1, "40001-40002"], [1, "53"]),
  destinationPorts: oneOf([4, null], [1, "80"], [1, "50-60"], [1, "40000-41000"]),
  action: oneOf([3, "allow"], [1, "allow-stateless"], [2, "drop"], [2, "reject"]),
});

export const placementSpecs: fc.Arbitrary<PlacementSpec[]> = fc.array(
  fc.record({
    chassis: fc.nat(5),
    stage: fc.constantFrom(...(Object.keys(PLACEABLE) as PlaceableStage[])),
    isRemote: fc.boolean(),
    where: fc.nat(5),
  }),
  { minLength: 1, maxLength: 6 },
);

const ruleSpecs = fc.array(ruleSpec, { maxLength: 6 });
const routerSpecs = fc.array(
  fc.record({
    links: fc.array(link, { minLength: 1, maxLength: 4 }),
    routes: fc.array(route, { maxLength: 4 }),
  }),
  { maxLength: 3 },
);

/** What somebody changes while packets are on their way. */
export interface ChangeSpec {
  readonly rules: readonly RuleSpec[];
  /** null: they stay. */
  readonly balancers: readonly BalancerSpec[] | null;
  /** null: they stay. */
  readonly routers: readonly RouterSpec[] | null;
  /** The port whose port security is turned on or off, and that gets other labels. */
  readonly port: number;
}

export const changeSpec: fc.Arbitrary<ChangeSpec> = fc.record({
  rules: ruleSpecs,
  balancers: fc.option(balancerSpecs, { freq: 1 }),
  routers: fc.option(routerSpecs, { freq: 1 }),
  port: fc.nat(15),
});

export function changed(
  spec: NetworkSpec,
  { rules, routers, balancers, port }: ChangeSpec,
): NetworkSpec {
  const ports = spec.ports.map((each, p) =>
    p === port % spec.ports.length
      ? { ...each, isSecured: !each.isSecured, labels: (each.labels ?? 0) + 1 }
      : each,
  );
  const others = { balancers: balancers ?? spec.balancers ?? [] };
  return { ...spec, rules, ports, routers: routers ?? spec.routers, ...others };
}

export const networkSpec: fc.Arbitrary<NetworkSpec> = fc.record({
  switches: fc.integer({ min: 1, max: 4 }),
  workers: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
  routers: routerSpecs,
  ports: fc.array(port, { minLength: 2, maxLength: 10 }),
  rules: ruleSpecs,
  balancers: balancerSpecs,
});

/** A constant with a weight each. */
export function oneOf<const T>(...choices: readonly (readonly [number, T])[]): fc.Arbitrary<T> {
  return fc.oneof(...choices.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })));
}

export interface BuiltNetwork {
  readonly state: State;
  readonly workers: ReadonlyMap<string, number>;
  /** Ports whose device is open: the worker that has it. */
  readonly devices: ReadonlyMap<string, number>;
}

/** `later` counts the changes before: a greater one makes a later generation. */
export function buildNetwork(spec: NetworkSpec, later = 0): BuiltNetwork {
  const store = createMemoryStore("c0");
  const workers = new Map(spec.workers.map((count, i) => [`c${i}`, count]));
  const put = (document: unknown): Change => ({ op: "put", document });
  const switches = Array.from({ length: spec.switches }, (_, s) => ({
    ...{ kind: "switch", name: `s${s}` },
  }));
  const routers = spec.routers.map((_, r) => routerDocument(spec, r));
  const ports = spec.ports.map((_, p) => portDocument(spec, p));
  const rules = spec.rules.map((_, i) => ruleDocument(spec, i));
  const balancers = (spec.balancers ?? []).map((_, i) => balancerDocument(spec, i));
  const documents = [...switches, ...routers, ...ports, ...rules, ...balancers];
  commit(store.transact(documents.map(put), "user"));
  const chassis = [...workers].map(([name, count], i) => ({
    ...{ kind: "chassis", name, underlay: `192.168.0.${i + 1}`, workers: count, version: "1" },
  }));
  const bindings = ports.flatMap((port, p) => {
    const { chassis } = port;
    const up = spec.ports[p]!.place === "bound";
    if (chassis === undefined) return [];
    const name = bindingName(port.name, chassis);
    return [{ kind: "binding", name, port: port.name, chassis, epoch: 1, up }];
  });
  commit(store.transact([...chassis, ...bindings].map(put), "chassis"));
  commit(store.transact(dataplaneDocuments(spec).map(put), "user"));
  const devices = new Map(
    spec.ports.flatMap(({ place, worker }, p) =>
      place === "bound" || place === "down" ? [[`p${p}`, worker] as const] : [],
    ),
  );
  const snapshot = store.snapshot();
  return { state: { ...snapshot, revision: snapshot.revision + later }, workers, devices };
}

function commit(result: { readonly ok: boolean }): void {
  if (!result.ok) throw new Error(`expected a sound network, got ${JSON.stringify(result)}`);
}

export function networkV4(s: number): string {
  return `10.0.${s}.0/24`;
}

export function networkV6(s: number): string {
  return `fd00:0:0:${s}::/64`;
}

export function addressOf(isV4: boolean, s: number, host: number): string {
  return isV4 ? `10.0.${s}.${host}` : `fd00:0:0:${s}::${host.toString(16)}`;
}

/** Routers have the hosts from 1 on, ports those from 16 on. */
export const FIRST_PORT_HOST = 16;

/** The links of a router: each to another switch. */
function linksOf(spec: NetworkSpec, r: number): { s: number; families: readonly boolean[] }[] {
  const bySwitch = new Map(
    spec.routers[r]!.links.map((each) => [each.switch % spec.switches, each.family]),
  );
  return [...bySwitch].map(([s, family]) => ({
    s,
    families: family === "both" ? [true, false] : [family === "v4"],
  }));
}

function routerDocument(spec: NetworkSpec, r: number): RouterDocument {
  const links = linksOf(spec, r);
  const ports = links.map(({ s, families }) => ({
    name: `r${r}-s${s}`,
    switch: `s${s}`,
    mac: `02:00:00:01:0${r}:0${s}`,
    addresses: families.map((isV4) => `${addressOf(isV4, s, r + 1)}/${isV4 ? 24 : 64}`),
  }));
  const routes = new Map(
    spec.routers[r]!.routes.flatMap((each) => {
      const { s, families } = links[each.link % links.length]!;
      if (!families.includes(each.isV4)) return [];
      const prefix = destinationOf(spec, each);
      return [[prefix, { prefix, nextHop: nextHopOf(spec, r, s, each) }] as const];
    }),
  );
  return { kind: "router", name: `r${r}`, ports, routes: [...routes.values()] };
}

function destinationOf(spec: NetworkSpec, { isV4, destination }: RouteSpec): string {
  const s = destination % spec.switches;
  if (destination < 8) return isV4 ? networkV4(s) : networkV6(s);
  const p = destination % spec.ports.length;
  const portSwitch = spec.ports[p]!.switch % spec.switches;
  if (destination < 12) {
    return `${addressOf(isV4, portSwitch, FIRST_PORT_HOST + p)}/${isV4 ? 32 : 128}`;
  }
  if (destination < 14) return isV4 ? "10.99.0.0/16" : "fd99::/64";
  return isV4 ? "0.0.0.0/0" : "::/0";
}

/** Another router of the switch, a port of it, or nobody. */
function nextHopOf(spec: NetworkSpec, r: number, s: number, { isV4, nextHop }: RouteSpec): string {
  const routers = spec.routers.flatMap((_, other) =>
    other !== r && linksOf(spec, other).some((link) => link.s === s) ? [other + 1] : [],
  );
  const ports = spec.ports.flatMap((each, p) =>
    each.switch % spec.switches === s ? [FIRST_PORT_HOST + p] : [],
  );
  const hosts = nextHop < 5 ? [...routers, ...ports] : ports;
  return addressOf(isV4, s, hosts[nextHop % Math.max(1, hosts.length)] ?? 200);
}

function portDocument(spec: NetworkSpec, p: number): PortDocument {
  const { hasV4, hasV6, isSecured, place, labels = 0, ...port } = spec.ports[p]!;
  const s = port.switch % spec.switches;
  const links = spec.routers.flatMap((_, r) => linksOf(spec, r).filter((each) => each.s === s));
  const families = [...(hasV4 ? [true] : []), ...(hasV6 ? [false] : [])].filter(
    (isV4) => links.length === 0 || links.some((each) => each.families.includes(isV4)),
  );
  const chassis = `c${port.chassis % spec.workers.length}`;
  return {
    kind: "port",
    name: `p${p}`,
    switch: `s${s}`,
    mac: `02:00:00:02:00:${p.toString(16).padStart(2, "0")}`,
    addresses: families.map((isV4) => addressOf(isV4, s, FIRST_PORT_HOST + p)),
    portSecurity: isSecured,
    labels: LABELS[labels % LABELS.length]!,
    ...(place === "nowhere" ? {} : { chassis, device: `d${p}` }),
  };
}

/** One a chassis that has a placement; of several for one stage the last one stays. */
function dataplaneDocuments(spec: NetworkSpec): DataplaneDocument[] {
  const count = spec.workers.length;
  const placements = (spec.placements ?? []).map((each) => ({ ...each, c: each.chassis % count }));
  return [...Map.groupBy(placements, ({ c }) => c)].map(([c, places]) => ({
    kind: "dataplane",
    name: `c${c}`,
    placement: Object.fromEntries(
      places.map(({ stage, isRemote, where }) => {
        const other = (c + 1 + (where % Math.max(1, count - 1))) % count;
        return [
          stage,
          isRemote && other !== c ? { chassis: `c${other}` } : { worker: where % spec.workers[c]! },
        ];
      }),
    ),
  }));
}

function ruleDocument(spec: NetworkSpec, i: number): AclDocument {
  const rule = spec.rules[i]!;
  const { direction, priority, action, protocol } = rule;
  const p = rule.port === null ? null : rule.port % spec.ports.length;
  const s = (p === null ? rule.switch : spec.ports[p]!.switch) % spec.switches;
  // Of ICMP the family is known.
  const isV4 = protocol === "icmp" || (protocol !== "icmpv6" && rule.isV4);
  const hasPorts = protocol === "tcp" || protocol === "udp";
  return {
    ...{ kind: "acl", name: `rule${i}`, switch: `s${s}`, direction, priority, action },
    ...(p === null ? {} : { port: `p${p}` }),
    match: {
      ...(protocol === null ? {} : { protocol }),
      ...(rule.source === null ? {} : { source: placeOf(spec, isV4, rule.source) }),
      ...(rule.destination === null ? {} : { destination: placeOf(spec, isV4, rule.destination) }),
      ...labelsAsked("sourceLabels", rule.sourceLabels),
      ...labelsAsked("destinationLabels", rule.destinationLabels),
      ...(hasPorts && rule.sourcePorts !== null ? { sourcePorts: rule.sourcePorts } : {}),
      ...(hasPorts && rule.destinationPorts !== null
        ? { destinationPorts: rule.destinationPorts }
        : {}),
    },
  };
}

function labelsAsked(
  field: "sourceLabels" | "destinationLabels",
  selector: number | null | undefined,
): AclDocument["match"] {
  return selector === null || selector === undefined ? {} : { [field]: SELECTORS[selector]! };
}

/** The same places that routes lead to. */
function placeOf(spec: NetworkSpec, isV4: boolean, destination: number): string {
  return destinationOf(spec, { isV4, destination, link: 0, nextHop: 0 });
}
