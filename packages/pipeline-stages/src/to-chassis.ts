/** The way to another chassis: the outlet of the tunnel, and what fits into it. */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";
import * as tcp from "@rhone/wire/tcp";
import * as udp from "@rhone/wire/udp";
import type { Core } from "./core.ts";

const view = poolViews().view;

/** To the outlet of the tunnel, to go on there at `stage`; false when the outlet is full. */
export function addToChassis(core: Core, slot: number, endpoint: number, stage: number): boolean {
  const { chassis, endpoints } = core.outlets;
  packet.setStage(slot, stage);
  endpoints[chassis.count] = endpoint;
  return chassis.add(slot);
}

/** Whether every packet that the frame stands for fits the tunnel. */
export function fits(core: Core, slot: number): boolean {
  const l3At = packet.l3At(slot);
  const headers = l3At === 0 ? ethernet.HEADER_SIZE : l3At - packet.frameAt(slot);
  if (packet.gsoType(slot) === 0) return packet.length(slot) - headers <= core.tables.tunnelMtu;
  const l4At = packet.l4At(slot);
  if (l4At === 0) return false; // A super-frame without a transport header cannot be cut.
  const isTcp = packet.protocol(slot) === ipv4.PROTOCOL_TCP;
  const transport = isTcp ? tcp.headerSize(view, l4At) : udp.HEADER_SIZE;
  return l4At - l3At + transport + packet.gsoSize(slot) <= core.tables.tunnelMtu;
}
