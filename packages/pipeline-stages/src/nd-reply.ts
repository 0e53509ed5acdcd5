/**
 * Writes the neighbour advertisement that answers a solicitation (RFC 4861 §7.2.4) over the
 * solicitation, in the same slot.
 */
import * as packet from "@rhone/rings/packet";
import { poolViews } from "@rhone/rings/pool";
import * as ipv6 from "@rhone/wire/ipv6";
import * as nd from "@rhone/wire/nd";

const view = poolViews().view;

/** The packet's l4At must be at a valid solicitation from a specified source address. */
export function answerSolicitation(
  slot: number,
  macHigh: number,
  macLow: number,
  isRouter: boolean,
): void {
  const l3At = packet.l3At(slot);
  const asked = packet.l4At(slot);
  for (let i = 0; i < 4; i++) {
    ipv6.setDestinationWord(view, l3At, i, ipv6.sourceWord(view, l3At, i));
    ipv6.setSourceWord(view, l3At, i, nd.targetWord(view, asked, i));
  }
  nd.writeAdvertisement(view, l3At, macHigh, macLow, isRouter);
  // It stands behind the fixed header, wherever extension headers had put the solicitation.
  const l4At = l3At + ipv6.HEADER_SIZE;
  packet.setL4At(slot, l4At);
  packet.setLength(slot, l4At + nd.ADVERTISEMENT_SIZE - packet.frameAt(slot));
  packet.setChecksumStart(slot, 0);
}
