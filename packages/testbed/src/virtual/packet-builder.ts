/** From a description of a packet to the frame that a workload of the network sends. */
import {
  BROADCAST_MAC,
  hexAt,
  type Ip,
  ipFromText,
  isMulticastOrAbove,
  isV4,
  type Mac,
} from "../golden/bytes.ts";
import { ARP, ICMP, ICMPV6, IPV4, IPV6, readHeaders, TCP, UDP } from "../golden/headers.ts";
import type { GoldenNetwork, GoldenPort } from "../golden/network.ts";
import type { Exchange } from "./exchange.ts";
import * as exchange from "./exchange.ts";
import * as frames from "./frames.ts";
import type { Mutation, PacketSpec } from "./packet-spec.ts";

const UNKNOWN_MAC: Mac = "020000ffffff";
/** What is no host, or nobody in the network. */
const STRANGE_V4 = ["10.0.0.200", "10.0.1.200", "10.99.1.1", "8.8.8.8", "224.0.0.1"];
const MARTIAN_V4 = ["255.255.255.255", "127.0.0.1", "0.0.0.0", "10.0.0.255", "240.0.0.1"];
const STRANGE_V6 = ["fd00::c8", "fd00:0:0:1::c8", "fd99::1", "2001:db8::1", "ff02::1", "::1", "::"];
const MARTIAN_V6 = ["::ffff:a00:10", "fe80::1", "ff02::1:ff00:10"];

export interface Frame {
  readonly port: string;
  readonly bytes: Buffer;
}

/** null when the network has nobody who could send it. */
export function buildFrame(
  spec: PacketSpec,
  network: GoldenNetwork,
  history: readonly Exchange[],
): Frame | null {
  const senders = network.ports.filter((port) => port.hasDevice);
  if (senders.length === 0) return null;
  const sender = senders[spec.from % senders.length]!;
  const past = history[spec.from % Math.max(1, history.length)];
  const next = past === undefined ? null : goOn(past, spec);
  if (next !== null) return { port: next.port, bytes: mutate(next.bytes, spec.mutation) };
  const bytes = buildFrom(spec, network, sender);
  return { port: sender.name, bytes: mutate(bytes, spec.mutation) };
}

function goOn(past: Exchange, spec: PacketSpec): Frame | null {
  switch (spec.kind) {
    case "reply":
      return exchange.reply(past, spec);
    case "again":
      return exchange.again(past, spec);
    case "mirror":
      return exchange.mirror(past, spec);
    default:
      return null;
  }
}

function buildFrom(spec: PacketSpec, network: GoldenNetwork, sender: GoldenPort): Buffer {
  switch (spec.kind) {
    case "raw":
      return Buffer.from(spec.raw);
    case "arp":
      return buildArp(spec, network, sender);
    case "discovery":
      return buildDiscovery(spec, network, sender);
    default:
      return buildIp(spec, network, sender);
  }
}

/** A sender without an address of the family makes one up. */
function sourceOf(spec: PacketSpec, sender: GoldenPort, isIpv4: boolean): Ip {
  const own = sender.addresses.filter((ip) => isV4(ip) === isIpv4);
  const spoofed = isIpv4 ? STRANGE_V4.concat(MARTIAN_V4) : STRANGE_V6.concat(MARTIAN_V6);
  const isSpoofed = spec.spoofs === "ip" || spec.spoofs === "both" || own.length === 0;
  if (isSpoofed) return ipFromText(spoofed[spec.detail % spoofed.length]!);
  return own[spec.detail < 56 ? 0 : spec.detail % own.length]!;
}

function sourceMacOf(spec: PacketSpec, sender: GoldenPort): Mac {
  return spec.spoofs === "mac" || spec.spoofs === "both" ? "020000eeeeee" : sender.mac;
}

/** Mostly somebody whom the sender can reach. */
function targetOf(
  spec: PacketSpec,
  network: GoldenNetwork,
  sender: GoldenPort,
  isIpv4: boolean,
): Ip {
  const hasRouter = network.ports.some((port) => isRouterAt(port, sender.switch));
  const reachable = network.ports.filter(
    (port) => port !== sender && isWithinReach(port, sender, hasRouter),
  );
  const known = (ports: readonly GoldenPort[]): Ip[] =>
    ports.flatMap(({ addresses }) => addresses.filter((ip) => isV4(ip) === isIpv4));
  const balancers = known(reachable.filter(({ isBalancer }) => isBalancer));
  if (balancers.length > 0 && spec.to < 14) return balancers[spec.to % balancers.length]!;
  const targets = known(spec.to < 28 && reachable.length > 0 ? reachable : network.ports);
  const strange = isIpv4 ? STRANGE_V4.concat(MARTIAN_V4) : STRANGE_V6.concat(MARTIAN_V6);
  if (spec.to >= 37 || targets.length === 0) return ipFromText(strange[spec.to % strange.length]!);
  return targets[spec.to % targets.length]!;
}

function isWithinReach(port: GoldenPort, sender: GoldenPort, hasRouter: boolean): boolean {
  const isNear = port.switch === sender.switch;
  return port.isBalancer ? isNear : port.hasDevice && (hasRouter || isNear);
}

function isRouterAt(port: GoldenPort, switchName: string): boolean {
  return port.router !== null && port.switch === switchName;
}

function macTowards(spec: PacketSpec, network: GoldenNetwork, sender: GoldenPort, ip: Ip): Mac {
  const around = network.ports.filter((port) => port.switch === sender.switch);
  if (spec.way === 14) return around[spec.to % around.length]!.mac;
  if (spec.way === 15) return spec.to % 2 === 0 ? BROADCAST_MAC : UNKNOWN_MAC;
  if (isMulticastOrAbove(ip)) return isV4(ip) ? BROADCAST_MAC : `3333${ip.slice(24)}`;
  const neighbour = network.byAddress(sender.switch, ip);
  // A load balancer's address may be one of another network.
  const isAside = neighbour?.isBalancer === true && spec.way % 2 === 1;
  if (neighbour !== undefined && !isAside) return neighbour.mac;
  const routers = around.filter((port) => port.router !== null);
  return routers[spec.way % Math.max(1, routers.length)]?.mac ?? UNKNOWN_MAC;
}

function buildIp(spec: PacketSpec, network: GoldenNetwork, sender: GoldenPort): Buffer {
  const source = sourceOf(spec, sender, spec.isV4);
  const destination = targetOf(spec, network, sender, spec.isV4);
  const toMac = macTowards(spec, network, sender, destination);
  const { protocol, payload } = transport(spec, source, destination);
  const packet = frames.ipPacket(ipFields(spec, source, destination, protocol), payload);
  const etherType = spec.isV4 ? IPV4 : IPV6;
  return frames.ethernet(toMac, sourceMacOf(spec, sender), etherType, packet);
}

function ipFields(spec: PacketSpec, source: Ip, destination: Ip, protocol: number) {
  const { ttl, dontFragment, hasOptions } = spec;
  const fragment = {
    identification: spec.ports,
    offset: spec.fragment === "later" ? 4 : 0,
    hasMore: spec.fragment === "first" || (spec.fragment === "later" && spec.detail % 2 === 0),
  };
  return {
    ...{ source, destination, ttl, protocol, dontFragment, hasOptions },
    fragment: spec.fragment === "none" ? null : fragment,
  };
}

function transport(
  spec: PacketSpec,
  source: Ip,
  destination: Ip,
): { protocol: number; payload: Buffer } {
  const data = Buffer.alloc(spec.size, 0x61);
  const ends = {
    ...{ source, destination },
    sourcePort: 40000 + (spec.ports % 3),
    destinationPort: [53, 80][spec.ports % 2]!,
  };
  switch (spec.kind) {
    case "udp":
      return { protocol: UDP, payload: frames.udp(ends, data) };
    case "tcp":
      return { protocol: TCP, payload: frames.tcp(ends, exchange.firstSegment(spec), data) };
    case "icmp-error":
      return { protocol: isV4(source) ? ICMP : ICMPV6, payload: errorOf(spec, ends) };
    case "other-ip":
      return { protocol: [47, 59, 1, 58, 132][spec.detail % 5]!, payload: data };
    default: {
      const types = isV4(source) ? [8, 8, 8, 0, 13] : [128, 128, 128, 129, 144];
      const type = types[spec.detail % types.length]!;
      const payload = frames.icmp(source, destination, type, 0, spec.ports << 16, data);
      return { protocol: isV4(source) ? ICMP : ICMPV6, payload };
    }
  }
}

/** An error about a packet that the receiver may have sent. */
function errorOf(spec: PacketSpec, ends: frames.Ends): Buffer {
  const { source, destination } = ends;
  const back = { ...ends, source: destination, destination: source };
  const fields = { ...ipFields(spec, destination, source, UDP), fragment: null };
  const quoted = frames.ipPacket(fields, frames.udp(back, Buffer.alloc(8)));
  const [type, code] = isV4(source) ? [3, 3] : [1, 4];
  return frames.icmp(source, destination, type!, code!, 0, quoted);
}

function buildArp(spec: PacketSpec, network: GoldenNetwork, sender: GoldenPort): Buffer {
  const mac = sourceMacOf(spec, sender);
  const target = targetOf(spec, network, sender, true);
  const operation = spec.detail % 8 === 0 ? 2 : 1;
  const senderIp = spec.detail % 8 === 1 ? "00000000" : sourceOf(spec, sender, true);
  const toMac = spec.way < 10 ? BROADCAST_MAC : macTowards(spec, network, sender, target);
  const claimed = spec.spoofs === "both" ? mac : sender.mac;
  return frames.ethernet(toMac, mac, ARP, frames.arp(operation, claimed, senderIp, target));
}

function buildDiscovery(spec: PacketSpec, network: GoldenNetwork, sender: GoldenPort): Buffer {
  const type = [135, 135, 135, 136, 133, 134][spec.detail % 6]!;
  const target =
    type === 136 ? sourceOf(spec, sender, false) : targetOf(spec, network, sender, false);
  const source = spec.to % 8 === 0 ? "0".repeat(32) : sourceOf(spec, sender, false);
  const claimed = spec.spoofs === "both" ? UNKNOWN_MAC : sender.mac;
  const option = Buffer.from(`0${type === 136 ? 2 : 1}01${claimed}`, "hex");
  const hasOption = spec.ports !== 0;
  const isAboutTarget = type === 135 || type === 136;
  const body = Buffer.concat([
    Buffer.from(isAboutTarget ? target : type === 134 ? "0".repeat(16) : "", "hex"),
    hasOption ? option : Buffer.alloc(0),
  ]);
  const destination = spec.way < 10 ? `ff02${"0".repeat(18)}01ff${target.slice(26)}` : target;
  const toMac = macTowards({ ...spec, way: spec.way % 14 }, network, sender, destination);
  const hopLimit = spec.ttl === 64 ? 255 : spec.ttl;
  const fields = { ...ipFields(spec, source, destination, ICMPV6), ttl: hopLimit };
  const message = frames.icmp(source, destination, type, 0, 0, body);
  const packet = frames.ipPacket(fields, message);
  return frames.ethernet(toMac, sourceMacOf(spec, sender), IPV6, packet);
}

function mutate(frame: Buffer, mutation: Mutation | null): Buffer {
  if (mutation === null) return frame;
  let bytes = Buffer.from(frame);
  for (const [at, value] of mutation.changes) if (at < bytes.length) bytes[at] = value;
  for (let i = 0; i < mutation.tags && bytes.length >= 12; i++) {
    const tag = Buffer.from("81000001", "hex");
    bytes = Buffer.concat([bytes.subarray(0, 12), tag, bytes.subarray(12)]);
  }
  return mutation.truncateTo === null ? bytes : bytes.subarray(0, mutation.truncateTo);
}

/**
 * Names of what the frame, or a packet that it quotes, takes part in: two frames without a common
 * one can come in any order. These are pairs of addresses, or single ones where a load balancer may
 * send packets elsewhere.
 */
export function conversationsOf(bytes: Buffer, network: GoldenNetwork): string[] {
  const pairs = pairsOf(bytes);
  const balancers = network.loadBalancers;
  if (balancers.length === 0) return pairs;
  return pairs.flatMap((pair) => pair.split(",")).flatMap((ip) => [ip, ...backendsOf(ip, network)]);
}

function backendsOf(ip: Ip, { loadBalancers }: GoldenNetwork): Ip[] {
  const vips = loadBalancers.flatMap(({ vips }) => vips);
  const own = vips.filter(({ address }) => ipFromText(address) === ip);
  return own.flatMap(({ backends }) => backends.map(({ address }) => ipFromText(address)));
}

function pairsOf(bytes: Buffer): string[] {
  const headers = readHeaders(bytes);
  if (typeof headers === "string" || headers.ip === null) return [];
  const { source, destination, transportAt, end } = headers.ip;
  const pairs = [[source, destination].sort().join()];
  if (transportAt === null) return pairs;
  const isIpv4 = isV4(source);
  const [at, size] = isIpv4 ? [transportAt + 8 + 12, 4] : [transportAt + 8 + 8, 16];
  if (at + size * 2 <= end) {
    pairs.push([hexAt(bytes, at, size), hexAt(bytes, at + size, size)].sort().join());
  }
  return pairs;
}
