/** The network of the in-memory cases: vm1 to vm4, routed, both on this chassis, with rules. */
import { MACS, ROUTER_DB, ROUTER_WEB, VM1, VM4 } from "@rhone/pipeline-stages/test-network";
import { ACTION_DROP, type AclRule, ANY_PORT, FROM_PORT } from "@rhone/tables/acls";
import { IPV4_MAPPED } from "@rhone/tables/ports";
import { parseMac } from "@rhone/wire/address";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as udp from "@rhone/wire/udp";

const FRAME_SIZE = 60;
const TCP = 6;
const VM1_ADDRESS = 0x0a00010a;
const VM4_ADDRESS = 0x0a00020a;

/** The frame of a flow from vm1 to vm4; up to some three billion flows differ in their ports. */
export function frameOf(flow: number): Uint8Array {
  return frame(MACS[VM1]!, VM1_ADDRESS, MACS[ROUTER_WEB]!, VM4_ADDRESS, flow);
}

/** The same from vm4 to vm1. */
export function frameFromVm4(flow: number): Uint8Array {
  return frame(MACS[VM4]!, VM4_ADDRESS, MACS[ROUTER_DB]!, VM1_ADDRESS, flow);
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
  udp.write(view, 34, 1024 + (flow % 60_000), 1 + Math.floor(flow / 60_000), size - 20);
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
