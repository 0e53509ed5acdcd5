/**
 * Which packets belong to a connection: unicast IP between hosts. What keeps a network alive (ARP,
 * neighbour and router discovery, MLD) and what goes to many does not.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";

const MULTICAST_IPV4_FIRST = 224; // First byte; class E and broadcast are above.
const MLD_FIRST = 130; // RFC 2710
const REDIRECT_LAST = 137; // RFC 4861: 133–137 are neighbour and router discovery.
const MLD_V2_REPORT = 143; // RFC 3810

const view = poolViews().view;

/** Of a packet whose headers have been found. */
export function isTracked(slot: number): boolean {
  if (ethernet.isMulticast(view, packet.frameAt(slot))) return false;
  const etherType = packet.etherType(slot);
  const at = packet.l3At(slot);
  if (etherType === ethernet.ETHERTYPE_IPV4) {
    return isHost(ipv4.source(view, at)) && isHost(ipv4.destination(view, at));
  }
  if (etherType !== ethernet.ETHERTYPE_IPV6) return false;
  if (!isUnicast(at + ipv6.SOURCE) || !isUnicast(at + ipv6.DESTINATION)) return false;
  return !isDiscovery(slot);
}

/** Of the IPv6 address at a byte offset of the pool: neither multicast nor unspecified. */
function isUnicast(at: number): boolean {
  const first = view.getInt32(at);
  if (first >>> 24 === 0xff) return false;
  return (first | view.getInt32(at + 4) | view.getInt32(at + 8) | view.getInt32(at + 12)) !== 0;
}

function isHost(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first < MULTICAST_IPV4_FIRST;
}

/** ARP's successor, router discovery and MLD: what keeps an IPv6 network alive. */
export function isDiscovery(slot: number): boolean {
  const at = packet.l4At(slot);
  if (packet.protocol(slot) !== ipv4.PROTOCOL_ICMPV6 || at === 0) return false;
  const type = icmpv6.type(view, at);
  return (type >= MLD_FIRST && type <= REDIRECT_LAST) || type === MLD_V2_REPORT;
}
