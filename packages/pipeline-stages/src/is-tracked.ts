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
  const source = ipv6.sourceWord(view, at, 0);
  const isUnspecified = (source | ipv6.sourceWord(view, at, 1)) === 0;
  if (isUnspecified || source >>> 24 === 0xff) return false;
  return ipv6.destinationWord(view, at, 0) >>> 24 !== 0xff && !isDiscovery(slot);
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
