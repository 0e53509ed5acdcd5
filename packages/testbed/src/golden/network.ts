/** The desired state as the golden router sees it: ports, switches and routers as plain objects. */
import type { Acl } from "@rhone/state/acl";
import type { Labels } from "@rhone/state/labels";
import type { LoadBalancer } from "@rhone/state/load-balancer";
import type { Port, Router } from "@rhone/state/schema";
import type { State } from "@rhone/state/state";
import {
  contains,
  type Ip,
  ipFromText,
  isLinkLocal,
  isV4,
  linkLocal,
  type Mac,
  macFromText,
  type Network,
  networkFromText,
} from "./bytes.ts";
import { balancerPorts } from "./load-balancing.ts";

/** A port of a switch: a workload's, or a router's when `router` is set. */
export interface GoldenPort {
  readonly name: string;
  readonly switch: string;
  readonly mac: Mac;
  readonly addresses: readonly Ip[];
  readonly isSecured: boolean;
  /** The chassis that has it, null when none does. */
  readonly chassis: string | null;
  readonly isUp: boolean;
  /** Whether its chassis has opened its device. */
  readonly hasDevice: boolean;
  readonly router: string | null;
  readonly labels: Labels;
  /** It stands for the addresses of a load balancer. */
  readonly isBalancer: boolean;
  readonly networks: readonly Network[];
}

export interface GoldenRoute {
  readonly network: Network;
  readonly outPort: GoldenPort;
  /** null: the destination is in the network itself. */
  readonly nextHop: Ip | null;
}

export class GoldenNetwork {
  readonly ports: readonly GoldenPort[];
  readonly rules: readonly Acl[];
  readonly loadBalancers: readonly LoadBalancer[];
  readonly #routes: ReadonlyMap<string, readonly GoldenRoute[]>;

  /** `open` are the names of the workloads' ports whose chassis has opened their device. */
  constructor(state: State, open: ReadonlySet<string>) {
    this.rules = state.acls.map(({ value }) => value);
    this.loadBalancers = state.loadBalancers.map(({ value }) => value);
    const chassis = new Set(state.chassis.map(({ name }) => name));
    this.ports = [
      ...state.ports.map(({ value }) => workloadPort(state, chassis, open, value)),
      ...state.routers.flatMap(({ value }) => routerPorts(value)),
      ...this.loadBalancers.flatMap(balancerPorts),
    ];
    this.#routes = new Map(
      state.routers.map(({ value }) => [
        value.name,
        routesOf(value, this.portsOfRouter(value.name)),
      ]),
    );
  }

  /** A workload's port by its name. */
  port(name: string): GoldenPort {
    return this.ports.find((port) => port.router === null && port.name === name)!;
  }

  portsOfRouter(router: string): GoldenPort[] {
    return this.ports.filter((port) => port.router === router);
  }

  workloadsOf(switchName: string): GoldenPort[] {
    return this.ports.filter((port) => port.router === null && port.switch === switchName);
  }

  byMac(switchName: string, mac: Mac): GoldenPort | undefined {
    return this.ports.find((port) => port.switch === switchName && port.mac === mac);
  }

  byAddress(switchName: string, ip: Ip): GoldenPort | undefined {
    return this.ports.find((port) => port.switch === switchName && port.addresses.includes(ip));
  }

  /** The workloads' ports that have an address which a packet in a switch has. */
  holders(switchName: string, ip: Ip): GoldenPort[] {
    const near = isLinkLocal(ip) ? new Set([switchName]) : this.#joined(switchName);
    return this.ports.filter(
      (port) =>
        port.router === null &&
        !port.isBalancer &&
        near.has(port.switch) &&
        port.addresses.includes(ip),
    );
  }

  /** The switch and all others that packets can be routed to from there. */
  #joined(switchName: string): Set<string> {
    const joined = new Set([switchName]);
    for (let before = 0; before < joined.size; ) {
      before = joined.size;
      for (const { router, switch: at } of this.ports) {
        if (router === null || !joined.has(at)) continue;
        for (const port of this.portsOfRouter(router)) joined.add(port.switch);
      }
    }
    return joined;
  }

  /** The port of the first router in a switch. */
  gateway(switchName: string): GoldenPort | undefined {
    return this.ports.find((port) => port.router !== null && port.switch === switchName);
  }

  isAddressOfRouter(router: string, ip: Ip): boolean {
    return this.portsOfRouter(router).some((port) => port.addresses.includes(ip));
  }

  /** The route with the longest prefix; a connected network comes before a fixed route. */
  route(router: string, destination: Ip): GoldenRoute | undefined {
    const fitting = this.#routes
      .get(router)!
      .filter((route) => contains(route.network, destination));
    const longest = Math.max(...fitting.map((route) => route.network.length));
    return fitting.find((route) => route.network.length === longest);
  }
}

function workloadPort(
  state: State,
  chassis: ReadonlySet<string>,
  open: ReadonlySet<string>,
  port: Port,
): GoldenPort {
  const binding = state.bindings.find(
    ({ value }) => value.port === port.name && value.chassis === port.chassis,
  )?.value;
  const isKnown = port.chassis !== undefined && chassis.has(port.chassis);
  return {
    name: port.name,
    switch: port.switch,
    mac: macFromText(port.mac),
    addresses: withLinkLocal(port.addresses.map(ipFromText), macFromText(port.mac)),
    isSecured: port.portSecurity,
    chassis: isKnown ? port.chassis : null,
    isUp: binding?.up === true,
    hasDevice: open.has(port.name),
    router: null,
    labels: port.labels ?? {},
    isBalancer: false,
    networks: [],
  };
}

function routerPorts(router: Router): GoldenPort[] {
  return router.ports.map((port) => {
    const networks = port.addresses.map(networkFromText);
    const mac = macFromText(port.mac);
    return {
      name: port.name,
      switch: port.switch,
      mac,
      addresses: withLinkLocal(
        networks.map(({ ip }) => ip),
        mac,
      ),
      ...{ isSecured: false, chassis: null, isUp: true, hasDevice: false, router: router.name },
      ...{ labels: {}, isBalancer: false },
      networks,
    };
  });
}

/** A port with an IPv6 address has a link-local one too (RFC 4291 §2.1). */
function withLinkLocal(addresses: readonly Ip[], mac: Mac): readonly Ip[] {
  return addresses.every(isV4) ? addresses : [...addresses, linkLocal(mac)];
}

function routesOf(router: Router, ports: readonly GoldenPort[]): readonly GoldenRoute[] {
  const connected = ports.flatMap((outPort) =>
    outPort.networks.map((network) => ({ network, outPort, nextHop: null })),
  );
  const fixed = router.routes.flatMap((route) => {
    const nextHop = ipFromText(route.nextHop);
    const via = connected.find(({ network }) => contains(network, nextHop));
    if (via === undefined) return [];
    return [{ network: networkFromText(route.prefix), outPort: via.outPort, nextHop }];
  });
  return [...connected, ...fixed];
}

/** The address that a port speaks by in a family: the first one that others can reach. */
export function ownAddress(port: GoldenPort, wantsV4: boolean): Ip | undefined {
  const family = port.addresses.filter((ip) => isV4(ip) === wantsV4);
  return family.find((ip) => !isLinkLocal(ip)) ?? family[0];
}
