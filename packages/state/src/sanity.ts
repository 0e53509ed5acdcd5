/**
 * What must hold within one document, beyond the shape that its schema checks: addresses that a
 * host can have, and a router whose networks and routes fit together. Run by the control thread.
 */
import {
  type Address,
  isIpv4,
  networkOf,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixContains,
} from "@rhone/wire/address";
import { checkAcl } from "./acl.ts";
import { checkGateway } from "./gateway.ts";
import { checkHost } from "./host-address.ts";
import { checkLoadBalancer } from "./load-balancer.ts";
import { type Problem, problem } from "./problem.ts";
import type { Port, Resource, Router } from "./schema.ts";

/** All that is wrong with `resource` in itself; `pointer` is where it stands. */
export function checkSanity(resource: Resource, pointer: string): Problem[] {
  if (resource.kind === "port") return checkPort(resource, pointer);
  if (resource.kind === "router") return checkRouter(resource, pointer);
  if (resource.kind === "acl") return checkAcl(resource, pointer);
  if (resource.kind === "gateway") return checkGateway(resource, pointer);
  if (resource.kind === "load-balancer") return checkLoadBalancer(resource, pointer);
  return [];
}

/** fe80::/10, which every link has for itself (RFC 4291 §2.5.6). */
export function isLinkLocal(address: Address): boolean {
  return !isIpv4(address) && address[0] >>> 22 === 0xfe80 >>> 6;
}

/** The first and the last address of an IPv4 network name the network and everybody in it. */
export function isNetworkOrBroadcast({ address, length }: Prefix): boolean {
  if (!isIpv4(address) || length > 126) return false; // RFC 3021: a /31 has neither.
  const hostMask = 2 ** (128 - length) - 1;
  const host = (address[3] & hostMask) >>> 0;
  return host === 0 || host === hostMask;
}

export function isSameFamily(a: Address, b: Address): boolean {
  return isIpv4(a) === isIpv4(b);
}

function checkPort({ addresses, chassis, device, migration }: Port, pointer: string): Problem[] {
  const problems = addresses.flatMap((text, i) =>
    checkHost(parseAddress(text)!, `${pointer}/addresses/${i}`, text),
  );
  if (migration === undefined) return problems;
  if (migration.chassis === chassis) {
    const expected = "another chassis than the one that the port is at";
    problems.push(problem(`${pointer}/migration/chassis`, expected, chassis));
  }
  if (device === undefined && migration.device === undefined) {
    problems.push(problem(`${pointer}/migration/device`, "a device's name", undefined));
  }
  return problems;
}

function checkRouter(router: Router, pointer: string): Problem[] {
  const networks = networksOf(router);
  return [
    ...checkPortNames(router, pointer),
    ...networks.flatMap(({ at, prefix, text }) => checkInterface(prefix, pointer + at, text)),
    ...checkOverlaps(networks, pointer),
    ...checkRoutes(router, networks, pointer),
  ];
}

interface Network {
  readonly port: number;
  /** Pointer within the router. */
  readonly at: string;
  readonly text: string;
  readonly prefix: Prefix;
}

function networksOf(router: Router): Network[] {
  return router.ports.flatMap(({ addresses }, port) =>
    addresses.map((text, i) => ({
      port,
      at: `/ports/${port}/addresses/${i}`,
      text,
      prefix: parsePrefix(text)!,
    })),
  );
}

function checkPortNames({ ports }: Router, pointer: string): Problem[] {
  return ports.flatMap(({ name }, i) =>
    ports.findIndex((port) => port.name === name) === i
      ? []
      : [
          problem(
            `${pointer}/ports/${i}/name`,
            "a name that no other port of the router has",
            name,
          ),
        ],
  );
}

function checkInterface(prefix: Prefix, pointer: string, text: string): Problem[] {
  if (isNetworkOrBroadcast(prefix)) {
    return [problem(pointer, "an address of one host, not of the network or of all in it", text)];
  }
  return checkHost(prefix.address, pointer, text);
}

/** A packet must have one way out: no two ports of a router may reach the same network. */
function checkOverlaps(networks: readonly Network[], pointer: string): Problem[] {
  const problems: Problem[] = [];
  for (const [index, { port, at, text, prefix }] of networks.entries()) {
    if (isLinkLocal(prefix.address)) continue;
    const earlier = networks.slice(0, index);
    const other = earlier.find((o) => o.port !== port && overlap(o.prefix, prefix));
    if (other === undefined) continue;
    problems.push(
      problem(pointer + at, `a network apart from ${other.text} of another port`, text),
    );
  }
  return problems;
}

function overlap(a: Prefix, b: Prefix): boolean {
  if (!isSameFamily(a.address, b.address)) return false;
  return a.length <= b.length ? prefixContains(a, b.address) : prefixContains(b, a.address);
}

function checkRoutes(router: Router, networks: readonly Network[], pointer: string): Problem[] {
  const seen = new Set<string>();
  return router.routes.flatMap((route, i) => {
    const at = `${pointer}/routes/${i}`;
    const problems = [
      ...checkDestination(route.prefix, seen, `${at}/prefix`),
      ...checkNextHop(route, networks, `${at}/nextHop`),
    ];
    seen.add(route.prefix);
    return problems;
  });
}

function checkDestination(text: string, seen: ReadonlySet<string>, pointer: string): Problem[] {
  const { address, length } = parsePrefix(text)!;
  const network = networkOf(address, length);
  if (network.some((word, i) => word !== address[i])) {
    return [problem(pointer, "a network whose bits behind the prefix are zero", text)];
  }
  if (seen.has(text)) return [problem(pointer, "one route to a network, not a second one", text)];
  return [];
}

function checkNextHop(
  route: Router["routes"][number],
  networks: readonly Network[],
  pointer: string,
): Problem[] {
  const nextHop = parseAddress(route.nextHop)!;
  const family = parsePrefix(route.prefix)!.address;
  if (!isSameFamily(nextHop, family)) {
    return [problem(pointer, `an address of the family of ${route.prefix}`, route.nextHop)];
  }
  const ways = networks.filter(
    ({ prefix }) => isSameFamily(prefix.address, nextHop) && prefixContains(prefix, nextHop),
  );
  if (ways.length === 0) {
    const known = networks.map(({ text }) => text).join(", ") || "there is none";
    const expected = `an address in a network of the router (${known})`;
    return [problem(pointer, expected, route.nextHop)];
  }
  if (ways.some(({ prefix }) => prefix.address.every((word, i) => word === nextHop[i]))) {
    return [problem(pointer, "an address that is not the router's own", route.nextHop)];
  }
  return checkHost(nextHop, pointer, route.nextHop);
}
