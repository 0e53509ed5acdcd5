/** Which packets are ICMP: that of their own family. The other one's is just another protocol. */
import * as packet from "@rhone/rings/packet";
import * as ethernet from "@rhone/wire/ethernet";
import * as ipv4 from "@rhone/wire/ipv4";

/** Of a packet whose headers have been found. */
export function isIcmpV4(slot: number): boolean {
  return (
    packet.protocol(slot) === ipv4.PROTOCOL_ICMP &&
    packet.etherType(slot) === ethernet.ETHERTYPE_IPV4
  );
}

/** Of a packet whose headers have been found. */
export function isIcmpV6(slot: number): boolean {
  return (
    packet.protocol(slot) === ipv4.PROTOCOL_ICMPV6 &&
    packet.etherType(slot) === ethernet.ETHERTYPE_IPV6
  );
}
