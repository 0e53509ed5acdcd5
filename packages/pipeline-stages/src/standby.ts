/**
 * A port that stands by: a device of it is here, but another chassis has the port. What comes in by
 * the device is dropped; when the port is on its way here, the first frame by which the guest says
 * that it runs here is told to the control thread. As QEMU and Linux send them after a migration:
 *
 *   rarp   RARP from the port's MAC address (RFC 903)
 *   garp   an ARP announcement: sender and target address are the same (RFC 5227 §2.3)
 *   na     an unsolicited neighbour advertisement (RFC 4861 §7.2.6)
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import {
  type Ports,
  STANDBY_FOR_GARP,
  STANDBY_FOR_NA,
  STANDBY_FOR_RARP,
} from "@rhone/tables/ports";
import * as arp from "@rhone/wire/arp";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as nd from "@rhone/wire/nd";
import type { Core } from "./core.ts";

const view = poolViews().view;

/** For a frame that its port may send: tells who is to hear of it, once a generation. */
export function noteAwakening(core: Core, slot: number, port: number): void {
  const { ports, generation } = core.tables;
  const frame = announcementIn(ports, port, slot);
  if (frame === 0 || !ports.isAwakenedBy(port, frame)) return;
  const device = packet.device(slot);
  if (core.awakenedIn[device] === generation) return;
  core.awakenedIn[device] = generation;
  core.onAwakened(device);
}

/** Which of the `STANDBY_FOR_…` frames it is, 0 when none. */
function announcementIn(ports: Ports, port: number, slot: number): number {
  const at = packet.frameAt(slot);
  // Ports that are not secured may send frames of others.
  if (ethernet.sourceHigh(view, at) !== ports.macHigh(port)) return 0;
  if (ethernet.sourceLow(view, at) !== ports.macLow(port)) return 0;
  const l3At = packet.l3At(slot);
  switch (packet.etherType(slot)) {
    case ethernet.ETHERTYPE_RARP:
      return STANDBY_FOR_RARP;
    case ethernet.ETHERTYPE_ARP:
      return arp.senderIp(view, l3At) === arp.targetIp(view, l3At) ? STANDBY_FOR_GARP : 0;
    case ethernet.ETHERTYPE_IPV6:
      return isUnsolicited(slot) ? STANDBY_FOR_NA : 0;
    default:
      return 0;
  }
}

function isUnsolicited(slot: number): boolean {
  const l4At = packet.l4At(slot);
  if (packet.protocol(slot) !== ipv4.PROTOCOL_ICMPV6 || l4At === 0) return false;
  if (icmpv6.type(view, l4At) !== nd.NEIGHBOR_ADVERTISEMENT) return false;
  const l3At = packet.l3At(slot);
  const end = l3At + ipv6.HEADER_SIZE + ipv6.payloadLength(view, l3At);
  return nd.isValid(view, l4At, end) && !nd.isSolicited(view, l4At);
}
