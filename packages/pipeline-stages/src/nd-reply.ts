/**
 * Writes the neighbour advertisement that answers a solicitation (RFC 4861 §4.4, §7.2.4) over the
 * solicitation, in the same slot: solicited, override, with the target link-layer address option.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as ethernet from "@rhone/wire/ethernet";
import * as icmpv6 from "@rhone/wire/icmpv6";
import * as ipv4 from "@rhone/wire/ipv4";
import * as ipv6 from "@rhone/wire/ipv6";
import * as nd from "@rhone/wire/nd";

const HOP_LIMIT = 255;
const ADVERTISEMENT_SIZE = 32; // 24 bytes and one link-layer address option of 8.
const FLAG_ROUTER = 0x80000000 | 0;
const FLAGS_SOLICITED_OVERRIDE = 0x60000000;

const view = poolViews().view;

/** The packet's l4At must be at a valid solicitation from a specified source address. */
export function answerSolicitation(
  slot: number,
  macHigh: number,
  macLow: number,
  isRouter: boolean,
): void {
  const frameAt = packet.frameAt(slot);
  const l3At = packet.l3At(slot);
  const asked = packet.l4At(slot);
  // Behind the fixed header, wherever extension headers had put the solicitation.
  const l4At = l3At + ipv6.HEADER_SIZE;
  for (let i = 0; i < 4; i++) {
    const target = nd.targetWord(view, asked, i);
    ipv6.setDestinationWord(view, l3At, i, ipv6.sourceWord(view, l3At, i));
    ipv6.setSourceWord(view, l3At, i, target);
    view.setInt32(l4At + nd.TARGET + i * 4, target);
  }
  ipv6.setNextHeader(view, l3At, ipv4.PROTOCOL_ICMPV6);
  ipv6.setPayloadLength(view, l3At, ADVERTISEMENT_SIZE);
  ipv6.setHopLimit(view, l3At, HOP_LIMIT);
  icmpv6.write(view, l4At, nd.NEIGHBOR_ADVERTISEMENT, 0);
  view.setInt32(l4At + nd.FLAGS, FLAGS_SOLICITED_OVERRIDE | (isRouter ? FLAG_ROUTER : 0));
  nd.writeLinkLayerOption(view, l4At + nd.OPTIONS, nd.OPTION_TARGET_LINK_LAYER, macHigh, macLow);
  icmpv6.updateChecksum(view, l3At, l4At, l4At + ADVERTISEMENT_SIZE);
  packet.setL4At(slot, l4At);
  packet.setLength(slot, l4At + ADVERTISEMENT_SIZE - frameAt);
  packet.setChecksumStart(slot, 0);
  ethernet.setEtherType(view, frameAt, ethernet.ETHERTYPE_IPV6);
}
