/**
 * Stage 4: which backend serves a new connection to a load balancer's address. Of all that could,
 * it is the one whose hash with the flow is the greatest, so that every chassis finds the same.
 */
import type { LoadBalancer } from "@rhone/state/load-balancer";
import { defaultMac } from "@rhone/state/schema";
import { type Ip, ipFromText, isV4, macFromText } from "./bytes.ts";
import type { Connection, Finding, Tuple } from "./connections.ts";
import { TCP, UDP } from "./headers.ts";
import type { GoldenPort } from "./network.ts";

/** An address and a port, as a connection's end. */
export interface End {
  readonly ip: Ip;
  readonly port: number;
}

/** What stage 4 says: a backend, nothing, or that the packet ended there. */
export type Choice = End | "none" | "refused";

export interface Service {
  readonly rejects: boolean;
  /** Port 0: that of the packet. */
  readonly backends: readonly End[];
}

/** What a packet of a switch is for; null when that is no load balancer's. */
export function serviceOf(
  loadBalancers: readonly LoadBalancer[],
  switchName: string,
  { protocol, destination, destinationPort }: Tuple,
): Service | null {
  const own = loadBalancers.filter(({ switches }) => switches.includes(switchName));
  const vips = own.flatMap(({ vips, withoutBackends }) =>
    vips
      .filter(({ address }) => ipFromText(address) === destination)
      .map((vip) => ({ ...vip, rejects: withoutBackends === "reject" })),
  );
  const number = protocol === TCP ? "tcp" : protocol === UDP ? "udp" : null;
  const exact = vips.find((vip) => vip.protocol === number && vip.port === destinationPort);
  const found = exact ?? vips.find(({ port }) => port === undefined);
  if (found === undefined) return null;
  const backends = found.backends.map(({ address, port = 0 }) => ({
    ip: ipFromText(address),
    port,
  }));
  return { rejects: found.rejects, backends };
}

/** Whether it is the address of a backend of what a switch is served by. */
export function isBackend(
  loadBalancers: readonly LoadBalancer[],
  switchName: string,
  ip: Ip,
): boolean {
  const own = loadBalancers.filter(({ switches }) => switches.includes(switchName));
  const backends = own.flatMap(({ vips }) => vips.flatMap((vip) => vip.backends));
  return backends.some(({ address }) => ipFromText(address) === ip);
}

/** Nobody is served by himself; null when nobody else is left. */
export function choose({ backends }: Service, tuple: Tuple): End | null {
  const flow = hashOf(tuple);
  const others = backends
    .filter(({ ip }) => ip !== tuple.source)
    .map((backend) => ({ backend, weight: mix(flow ^ seedOf(backend)) }));
  if (others.length === 0) return null;
  const { backend } = others.reduce((best, each) => (each.weight > best.weight ? each : best));
  return { ip: backend.ip, port: backend.port === 0 ? tuple.destinationPort : backend.port };
}

/** A load balancer has its addresses in each switch that it serves, and a MAC address. */
export function balancerPorts({ name, switches, vips }: LoadBalancer): GoldenPort[] {
  return switches.map((at) => ({
    ...{ name: `load-balancer/${name}`, switch: at, isSecured: false, chassis: null, isUp: true },
    ...{ hasDevice: false, router: null, networks: [], labels: {}, isBalancer: true },
    mac: macFromText(defaultMac(`load-balancer/${name}`)),
    addresses: vips.map(({ address }) => ipFromText(address)),
  }));
}

export function isForward({ translation }: Connection): boolean {
  return translation !== null && !translation.isReverse;
}

/** Whether it is of a connection that goes on to a backend. */
export function isBalanced(finding: Finding | null): boolean {
  return finding !== null && finding.connection !== null && isForward(finding.connection);
}

export function isSameEnd(a: End, b: End): boolean {
  return a.ip === b.ip && a.port === b.port;
}

/** Whether it has the ends of a connection to a backend, without having been sent there. */
export function isConflict({ kind, isReply, connection, found, isBack }: Finding): boolean {
  if (!found?.translation?.isReverse || kind === "related" || isReply || isBack) return false;
  return connection !== null || kind === "invalid";
}

function wordsOf(ip: Ip): number[] {
  return (ip.match(/.{8}/g) ?? []).map((word) => Number.parseInt(word, 16) | 0);
}

function hashOf({ protocol, source, destination, sourcePort, destinationPort }: Tuple): number {
  const start = mix(((sourcePort << 16) | destinationPort) ^ protocol);
  const from = wordsOf(source);
  return wordsOf(destination).reduce((hash, word, i) => mix(mix(hash ^ from[i]!) ^ word), start);
}

function seedOf({ ip, port }: End): number {
  const words = isV4(ip) ? [0, 0, 0xffff, ...wordsOf(ip)] : wordsOf(ip);
  return words.reduce((hash, word) => mix(hash ^ word), mix(port + 1));
}

/** MurmurHash3's finaliser. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) | 0;
}
