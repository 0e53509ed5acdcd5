/** The network of the in-memory cases: vm1 to vm4, routed, both on this chassis, with rules. */
import { ip, MACS, ROUTER_DB, ROUTER_WEB, VM1, VM4 } from "@rhone/pipeline-stages/test-network";
import { ACTION_DROP, type AclRule, ANY_PORT, FROM_PORT } from "@rhone/tables/acls";
import type { VipRow } from "@rhone/tables/load-balancers";
import { IPV4_MAPPED } from "@rhone/tables/ports";
import type { Route } from "@rhone/tables/routes";
import { parseMac } from "@rhone/wire/address";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as udp from "@rhone/wire/udp";

const FRAME_SIZE = 60;
const TCP = 6;
const UDP_AT = 34;
const VM1_ADDRESS = 0x0a00010a;
const VM4_ADDRESS = 0x0a00020a;

/** Of a load balancer, behind which vm4 stands. */
const VIP_ADDRESS = 0x0a000909;
export const VIPS: readonly VipRow[] = [
  {
    ...{ datapath: 0, address: ip("10.0.9.9"), protocol: 0, servicePort: 0, rejects: true },
    backends: [{ address: ip("10.0.2.10"), port: 0 }],
  },
];

/** Networks behind vm4 that packets are sent to. */
export const DESTINATIONS = 4096;
/** 1.0.0.0; networks of 256 addresses follow it. */
const FIRST_NETWORK = 0x01000000;
const NETWORK_LENGTH = 120;
const NETWORKS_LENGTH = 100; // Of one prefix around all networks.

/**
 * The frame of a flow from vm1 to vm4 or to an address behind it; up to some three billion flows
 * differ in their ports.
 */
export function frameOf(flow: number, destination = VM4_ADDRESS): Uint8Array {
  return frame(MACS[VM1]!, VM1_ADDRESS, MACS[ROUTER_WEB]!, destination, flow);
}

/** The same from vm4 to vm1. */
export function frameFromVm4(flow: number): Uint8Array {
  return frame(MACS[VM4]!, VM4_ADDRESS, MACS[ROUTER_DB]!, VM1_ADDRESS, flow);
}

/** Of a balanced flow, with a checksum: vm1 asks the VIP, or vm4 answers. */
export function balancedFrame(flow: number, isAnswer: boolean): Uint8Array {
  const bytes = isAnswer ? frameFromVm4(flow) : frameOf(flow, VIP_ADDRESS);
  const view = new DataView(bytes.buffer);
  udp.setChecksum(view, UDP_AT, 1); // Nobody looks whether it is right.
  if (!isAnswer) return bytes;
  const [source, destination] = [udp.sourcePort(view, UDP_AT), udp.destinationPort(view, UDP_AT)];
  view.setUint16(UDP_AT, destination);
  view.setUint16(UDP_AT + 2, source);
  return bytes;
}

function frame(
  fromMac: string,
  source: number,
  toMac: string,
  destination: number,
  flow: number,
): Uint8Array {
  const frame = new Uint8Array(FRAME_SIZE);
  const view = new DataView(frame.buffer);
  const to = parseMac(toMac)!;
  const from = parseMac(fromMac)!;
  ethernet.write(view, 0, to.high, to.low, from.high, from.low, ethernet.ETHERTYPE_IPV4);
  const size = FRAME_SIZE - ethernet.HEADER_SIZE;
  ipv4.write(view, 14, size, 64, ipv4.PROTOCOL_UDP, source, destination);
  udp.write(view, UDP_AT, 1024 + (flow % 60_000), 1 + Math.floor(flow / 60_000), size - 20);
  return frame;
}

/** So many rules that match nothing here: each is looked at before the packet passes. */
export function rulesBefore(count: number): AclRule[] {
  return Array.from({ length: count }, (_, i) => ({
    direction: FROM_PORT,
    datapath: 0,
    port: -1,
    protocol: i % 2 === 0 ? TCP : ipv4.PROTOCOL_UDP,
    source: null,
    destination: { address: [0, 0, IPV4_MAPPED, 0x0b000000 + i * 256] as const, length: 120 },
    sourcePorts: ANY_PORT,
    destinationPorts: { first: i & 0x7fff, last: (i & 0x7fff) + 10 },
    action: ACTION_DROP,
    counter: -1,
  }));
}

/** So many routes to networks behind vm4, or one to all of them. */
export function routesBehindVm4(count: number): Route[] {
  if (count === 1) return [routeTo(FIRST_NETWORK, NETWORKS_LENGTH, 0)];
  return Array.from({ length: count }, (_, i) => routeTo(network(i), NETWORK_LENGTH, i));
}

/** An address in one of the networks, which are spread over all routes. */
export function addressBehindVm4(destination: number, routes: number): number {
  const step = Math.max(1, Math.floor(routes / DESTINATIONS));
  return network((destination % DESTINATIONS) * step) + 1 + (destination % 200);
}

function network(i: number): number {
  return FIRST_NETWORK + 256 * i;
}

/** By either address of vm4, so that neighbouring routes differ. */
function routeTo(address: number, length: number, i: number): Route {
  const nextHop = ip(i % 2 === 0 ? "10.0.2.10" : "fd00:0:0:2::10");
  return { prefix: [0, 0, IPV4_MAPPED, address], length, outPort: ROUTER_DB, nextHop };
}
